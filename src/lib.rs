//! Soulchain: a transparency log for AI agents.
//!
//! Agents register keys and append signed actions to a hash chain of their own; a log node checks each link at
//! admission, puts it into an append-only Merkle tree, and answers with a proof that anyone can check offline.
//!
//! # The map
//!
//! A module imports only from its own layer or a lower one (`tests/layers.rs` holds this table and checks it).
//!
//! | layer | modules | what is there |
//! |---|---|---|
//! | L0 | [`hash`] [`encoding`] [`ed25519`] [`ml_dsa`] | SHA-256 and its newtypes; strict bytes and text; the rules by which signatures count |
//! | L1 | [`merkle`] [`map`] | RFC 6962 trees: plans and proofs; the state map, a prefix tree whose versions share |
//! | L2 | [`tlog`] | one file for each C2SP document: notes, checkpoints, tiles, bundles, proofs, policies |
//! | L3 | [`soul`] [`registry`] [`verify`] | links and bodies; the fold of a log's entries into its state; offline verification |
//! | L4 | `storage` `log` `clock` `metrics` `keyfile` `ml_dsa_signer` | blobs, journal, views; the engine; time; key files; a fast signer |
//! | L5 | `node` `wire` | the registry as the engine's machine; the JSON shapes |
//! | L6 | `client` `audit` `witness` `mirror` `monitor` | talking to a node; replaying a log from outside; cosigning, and being cosigned; copying a log; following logs, and evidence |
//! | L7 | `http` `config` `cli` | routes and error statuses; settings; one file for each subcommand |
//!
//! L0 to L3 are the *core*: no clock, no randomness, no I/O. It is what is left without features, and what a verifier
//! embeds. Feature `client` adds `keyfile`, `wire`, `client` and `audit`; `node`, on by default, adds the rest.
//!
//! # Where to begin
//!
//! - A link, byte by byte: [`soul::Link`]. What admits it: [`registry::Registry::admit`].
//! - A proof, checked: [`verify`].
//! - The write path: `log::engine` and `log::sequencer`. What a crash leaves behind: `log::open`.
//! - A request on its way in: `http::links`, then `node::submit`.

pub mod ed25519;
pub mod encoding;
pub mod hash;
pub mod ml_dsa;

pub mod map;
pub mod merkle;

pub mod tlog;

pub mod registry;
pub mod soul;
pub mod verify;

#[cfg(feature = "node")]
pub mod clock;
#[cfg(feature = "client")]
pub mod keyfile;
#[cfg(feature = "node")]
pub mod log;
#[cfg(feature = "node")]
pub mod metrics;
#[cfg(feature = "node")]
pub mod ml_dsa_signer;
#[cfg(feature = "node")]
pub mod storage;

#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "client")]
pub mod wire;

#[cfg(feature = "client")]
pub mod audit;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "node")]
pub mod mirror;
#[cfg(feature = "node")]
pub mod monitor;
#[cfg(feature = "node")]
pub mod witness;

#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
pub mod config;
#[cfg(feature = "node")]
pub mod http;
