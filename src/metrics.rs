//! Metrics: a closed set of names with the prefix `soulchain_`, and labels from closed sets.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Links appended, by whether they were new.
pub const LINKS: &str = "soulchain_links_total";
/// Seconds from a parsed request to the durable answer.
pub const APPEND_SECONDS: &str = "soulchain_append_seconds";
/// Answers, by status class.
pub const RESPONSES: &str = "soulchain_http_responses_total";
/// Open connections.
pub const CONNECTIONS: &str = "soulchain_http_connections";
/// Connections that the server closed, by why: `address` has too many, or a write `stalled`.
pub const CONNECTIONS_CLOSED: &str = "soulchain_http_connections_closed_total";
/// Memory of bodies and answers under way that are not small.
pub const HELD_BYTES: &str = "soulchain_http_held_bytes";
/// Entries of the log.
pub const TREE_SIZE: &str = "soulchain_tree_size";
/// Entries in the public files.
pub const FLUSHED_SIZE: &str = "soulchain_flushed_size";
/// Size of the published checkpoint.
pub const PUBLISHED_SIZE: &str = "soulchain_published_size";
/// Identities.
pub const IDENTITIES: &str = "soulchain_identities";
/// Entries that wait in the pool.
pub const POOL_ENTRIES: &str = "soulchain_pool_entries";
/// 1 when the engine takes no writes.
pub const LATCHED: &str = "soulchain_latched";
/// Ordered erasures that wait for the repair of a damaged file.
pub const OWED_ERASURES: &str = "soulchain_owed_erasures";
/// Witnesses of the policy.
pub const WITNESSES: &str = "soulchain_witnesses";
/// Witnesses whose last answer was a cosignature.
pub const WITNESSES_COSIGNING: &str = "soulchain_witnesses_cosigning";
/// Size of the checkpoint that a quorum has cosigned last; 0 before the first since the start.
pub const WITNESSED_SIZE: &str = "soulchain_witnessed_size";
/// Size of the checkpoint that a mirror has cosigned.
pub const MIRRORED_SIZE: &str = "soulchain_mirrored_size";
/// Size of the checkpoint that the mirrored log showed last.
pub const UPSTREAM_SIZE: &str = "soulchain_upstream_size";
/// 1 where a mirror can reach its log.
pub const UPSTREAM_REACHABLE: &str = "soulchain_upstream_reachable";
/// 1 while a mirror refuses what its log shows, or cannot go on.
pub const UPSTREAM_REFUSED: &str = "soulchain_upstream_refused";

/// Requests to a witness, by route and status.
pub const WITNESS_REQUESTS: &str = "soulchain_witness_requests_total";
/// Checkpoints that a witness cosigned.
pub const WITNESS_COSIGNED: &str = "soulchain_witness_cosigned_total";
/// Seconds from a read `add-checkpoint` request to its durable answer.
pub const WITNESS_SECONDS: &str = "soulchain_witness_add_checkpoint_seconds";
/// Logs that a witness serves.
pub const WITNESS_LOGS: &str = "soulchain_witness_logs";
/// Logs of which a witness remembers a checkpoint, served or not.
pub const WITNESS_REMEMBERED: &str = "soulchain_witness_remembered_logs";
/// Contradictions of logs, as often as they were offered, of which a witness kept no evidence for want of room.
pub const WITNESS_DROPPED_EVIDENCE: &str = "soulchain_witness_dropped_evidence_total";
/// Files of evidence that a witness has not written yet.
pub const WITNESS_UNWRITTEN_EVIDENCE: &str = "soulchain_witness_unwritten_evidence";
/// 1 where a witness writes no evidence, since it could not read the folder when it started.
pub const WITNESS_NO_EVIDENCE: &str = "soulchain_witness_no_evidence";

/// Buckets of the histograms of seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// Where metrics of this process are collected.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// Installs the collector. Once a process; a second one collects nothing.
    pub fn install() -> Self {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS);
        // The buckets are not empty, which is the only thing that this refuses.
        let recorder = builder.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_ok() {
            describe();
        }
        Self(handle)
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

fn describe() {
    metrics::describe_counter!(LINKS, "Links appended, by whether they were new");
    metrics::describe_histogram!(APPEND_SECONDS, metrics::Unit::Seconds, "From a parsed request to the durable answer");
    metrics::describe_counter!(RESPONSES, "HTTP answers, by status class");
    metrics::describe_gauge!(CONNECTIONS, "Open HTTP connections");
    metrics::describe_counter!(CONNECTIONS_CLOSED, "HTTP connections that the server closed, by reason");
    metrics::describe_gauge!(HELD_BYTES, metrics::Unit::Bytes, "Memory of requests and answers over 64 KiB under way");
    metrics::describe_gauge!(TREE_SIZE, "Entries of the log");
    metrics::describe_gauge!(FLUSHED_SIZE, "Entries in the public files");
    metrics::describe_gauge!(PUBLISHED_SIZE, "Size of the published checkpoint");
    metrics::describe_gauge!(IDENTITIES, "Identities");
    metrics::describe_gauge!(POOL_ENTRIES, "Entries that wait in the pool");
    metrics::describe_counter!(WITNESS_REQUESTS, "Requests to the witness, by route and status");
    metrics::describe_counter!(WITNESS_COSIGNED, "Checkpoints cosigned");
    metrics::describe_histogram!(WITNESS_SECONDS, metrics::Unit::Seconds, "From a request to the durable answer");
    metrics::describe_gauge!(WITNESS_LOGS, "Logs that the witness serves");
    metrics::describe_gauge!(WITNESS_REMEMBERED, "Logs of which the witness remembers a checkpoint");
    metrics::describe_gauge!(WITNESS_UNWRITTEN_EVIDENCE, "Files of evidence that are not written yet");
    metrics::describe_counter!(WITNESS_DROPPED_EVIDENCE, "Contradictions of logs that found no room for evidence");
    metrics::describe_gauge!(WITNESS_NO_EVIDENCE, "1 where the folder of evidence could not be read at the start");
    metrics::describe_gauge!(LATCHED, "1 when the engine takes no writes");
    metrics::describe_gauge!(OWED_ERASURES, "Ordered erasures that wait for the repair of a damaged file");
    metrics::describe_gauge!(WITNESSES, "Witnesses of the policy");
    metrics::describe_gauge!(WITNESSES_COSIGNING, "Witnesses whose last answer was a cosignature");
    metrics::describe_gauge!(MIRRORED_SIZE, "Size of the checkpoint that the mirror has cosigned");
    metrics::describe_gauge!(UPSTREAM_SIZE, "Size of the checkpoint that the mirrored log showed last");
    metrics::describe_gauge!(UPSTREAM_REACHABLE, "1 where the mirror can reach its log");
    metrics::describe_gauge!(UPSTREAM_REFUSED, "1 while the mirror refuses what its log shows, or cannot go on");
    metrics::describe_gauge!(WITNESSED_SIZE, "Size of the checkpoint that a quorum has cosigned last");
}
