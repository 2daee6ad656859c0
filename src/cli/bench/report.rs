//! What a bench measured.

use std::collections::BTreeMap;

use serde::Serialize;

use super::BenchArgs;
use super::load::Run;
use crate::cli::output::Output;

/// The numbers of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    mode: &'static str,
    clients: usize,
    batch: usize,
    size: usize,
    seconds: f64,
    pub(super) requests: u64,
    entries: u64,
    entries_per_second: f64,
    latency_ms: Latency,
    errors: BTreeMap<String, u64>,
    /// All that was prepared was sent before the time was over.
    used_up: bool,
}

/// How long a request took, in milliseconds: half of them, 90 and 99 of a hundred, all.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
    pub(super) fn of(args: &BenchArgs, mut run: Run) -> Self {
        run.latencies.sort_unstable();
        let seconds = run.elapsed.as_secs_f64();
        Self {
            mode: args.mode.name(),
            clients: args.clients.get(),
            batch: args.batch.get(),
            size: args.size,
            seconds,
            requests: run.latencies.len() as u64,
            entries: run.entries,
            entries_per_second: run.entries as f64 / seconds,
            latency_ms: Latency {
                p50: percentile(&run.latencies, 50),
                p90: percentile(&run.latencies, 90),
                p99: percentile(&run.latencies, 99),
                max: percentile(&run.latencies, 100),
            },
            errors: run.errors,
            used_up: run.used_up,
        }
    }

    pub(super) fn tell(&self, out: &Output) {
        let Latency { p50, p90, p99, max } = self.latency_ms;
        out.fields(&[
            ("rate", format!("{:.0} entries/s", self.entries_per_second)),
            ("entries", format!("{} in {:.1} s, {} requests", self.entries, self.seconds, self.requests)),
            ("latency", format!("p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")),
            ("load", format!("{}, {} connections, {} a request", self.mode, self.clients, self.batch)),
        ]);
        for (reason, count) in &self.errors {
            out.warn(format_args!("{count} requests failed: {reason}"));
        }
        if self.used_up {
            out.note(
                "everything that was prepared was sent before the time was over: give more --links for a longer run",
            );
        }
    }
}

/// The least latency, in milliseconds, that so many percent of the requests did not exceed.
fn percentile(sorted_micros: &[u32], percent: usize) -> f64 {
    let rank = (sorted_micros.len() * percent).div_ceil(100).saturating_sub(1);
    sorted_micros.get(rank).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    #[expect(clippy::float_cmp, reason = "thousandths of whole numbers that are multiples of 1000")]
    fn percentiles() {
        let micros: Vec<u32> = (1..=100).map(|n| n * 1000).collect();
        for (percent, millis) in [(50, 50.0), (90, 90.0), (99, 99.0), (100, 100.0)] {
            assert_eq!(percentile(&micros, percent), millis);
        }
        assert_eq!(percentile(&[], 50), 0.0);
        assert_eq!(percentile(&[7000], 99), 7.0);
    }
}
