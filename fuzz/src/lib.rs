//! Fuzzing of everything that reads bytes from outside.
//!
//! A target takes any bytes, never panics, and checks that what is accepted is written back as exactly these bytes: an
//! accepted second spelling of one value is a bug as much as a panic is. Readers without a writer are held to a law of
//! their own, which stands at the target.
//!
//! - `cargo run --bin smoke -- 60` drives all targets for a minute each with a mutator of its own, on any compiler.
//! - `cargo +nightly fuzz run note --features libfuzzer` drives one with coverage, for as long as one likes.

mod evidence;
mod requests;
mod soul;
mod tlog;
mod trees;

pub mod mutate;

/// One reader under test.
pub struct Target {
    /// Its name, which is also that of its libFuzzer program.
    pub name: &'static str,
    /// Reads the bytes and checks the law; whether they were accepted.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that are accepted, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "note", run: tlog::note, seeds: tlog::notes },
    Target { name: "checkpoint", run: tlog::checkpoint, seeds: tlog::checkpoints },
    Target { name: "vkey", run: tlog::vkey, seeds: tlog::vkeys },
    Target { name: "tlog_proof", run: tlog::proof, seeds: tlog::proofs },
    Target { name: "policy", run: tlog::policy, seeds: tlog::policies },
    Target { name: "tile_path", run: tlog::tile_path, seeds: tlog::tile_paths },
    Target { name: "bundle", run: tlog::bundle, seeds: tlog::bundles },
    Target { name: "add_checkpoint", run: requests::add_checkpoint, seeds: requests::add_checkpoints },
    Target { name: "sign_subtree", run: requests::sign_subtree, seeds: requests::sign_subtrees },
    Target { name: "signature_lines", run: requests::lines, seeds: requests::several_lines },
    Target { name: "size_body", run: requests::size, seeds: requests::sizes },
    Target { name: "add_entries", run: requests::add_entries, seeds: requests::several_entries },
    Target { name: "package", run: requests::package, seeds: requests::packages },
    Target { name: "mirror_info", run: requests::mirror_info, seeds: requests::mirror_infos },
    Target { name: "inclusion", run: trees::inclusion, seeds: trees::inclusions },
    Target { name: "consistency", run: trees::consistency, seeds: trees::consistencies },
    Target { name: "map_proof", run: trees::map_proof, seeds: trees::map_proofs },
    Target { name: "link", run: soul::link, seeds: soul::links },
    Target { name: "body", run: soul::body, seeds: soul::bodies },
    Target { name: "jcs", run: soul::jcs, seeds: soul::values },
    Target { name: "trailer", run: soul::trailer, seeds: soul::trailers },
    Target { name: "evidence", run: evidence::evidence, seeds: evidence::files },
    Target { name: "record", run: soul::record, seeds: soul::records },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Gives bytes to the target of that name, as the libFuzzer programs do.
///
/// # Panics
/// If there is no such target, or the bytes break its law.
pub fn run(name: &str, data: &[u8]) {
    let target = target(name).expect("the programs are named as their targets");
    (target.run)(data);
}
