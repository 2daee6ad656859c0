//! RFC 6962 trees: index math, frontier, inclusion and consistency. Knows no storage: it plans indexes and evaluates hashes.

mod index;

pub use index::{LeafIndex, TreeSize};
