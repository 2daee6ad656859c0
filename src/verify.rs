//! Offline verification of proofs (formats.md §8).
