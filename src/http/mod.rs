//! The HTTP server: the C2SP routes at the root, Soulchain's own under `/v1`.
//!
//! One file for each group of routes; statuses and texts of all errors are in `problem`. Handlers hold no rules: they
//! read a request, ask the [`Node`](crate::node::Node), and write the answer.

mod about;
mod agents;
mod app;
mod bodies;
mod body_access;
mod body_limit;
mod connections;
mod events;
mod extract;
mod limits;
mod links;
mod log;
mod measure;
mod mirror;
mod mirror_health;
mod ops;
mod pieces;
mod plain;
mod prepare;
mod problem;
mod routes;
mod server;
mod stall;
mod tlog;
mod witness;

pub use app::App;
pub use limits::{LimitSettings, Limits};
pub use measure::Recorder;
pub use mirror::{MirrorApp, agents_mirror_router, opaque_mirror_router};
pub use routes::{openapi_json, router};
pub use server::{ServerLimits, serve};
pub use tlog_log::tile_router;
pub use witness::{WitnessApp, witness_router};

mod tlog_log;
