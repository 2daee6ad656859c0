//! RFC 6962 trees (section 2.1, with SHA-256): hashes, right edge, inclusion and consistency.
//!
//! Knows no storage: it plans which nodes are needed, as [`NodeId`]s, and evaluates hashes that the caller found
//! somewhere. Subtrees are those of draft-ietf-plants-merkle-tree-certs. The tile files themselves, and how proofs are
//! written, are `tlog`'s; the tree of the log's state is `map`.
//!
//! - **Build**: [`Frontier`] takes leaf hashes and reports each node as it is completed.
//! - **Prove**: [`inclusion_plan`], [`consistency_plan`], [`root_plan`], and those of subtrees, name nodes;
//!   [`Plan::path`] and [`RootPlan::root`] make hashes of them; [`tile_of`] says where in a tile a node comes from.
//! - **Verify**: [`verify_inclusion`] and [`verify_consistency`] refuse every path but the one of exact length.

mod index;
// What a hash is, what a node is.
mod hashing;
mod node;
mod subtree;
// The log's side.
mod frontier;
mod plan;
// The verifier's side, and the one way up the tree that both sides follow.
mod climb;
mod proof;

pub use frontier::Frontier;
pub use hashing::{EMPTY_ROOT, leaf_hash, node_hash, root_of_peaks, root_of_perfect};
pub use index::{LeafIndex, TreeSize};
pub use node::{NodeId, TILE_HEIGHT, TILE_WIDTH, TileSpan, peaks, tile_of};
pub use plan::{
    Plan, RootPlan, consistency_plan, inclusion_plan, root_plan, subtree_consistency_plan, subtree_root_plan,
};
pub use proof::{
    ProofError, root_from_inclusion, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
pub use subtree::Subtree;
