//! The formats of a tiled log, one file for each C2SP document; strict in everything that is read.
//!
//! | file | document |
//! |---|---|
//! | `vkey` `note` `signature` | signed-note: verifier keys, notes, and the keys that sign and judge them |
//! | `origin` `checkpoint` | tlog-checkpoint, as formats.md §1 narrows it: no extension lines |
//! | `cosignature` `cosigner` | tlog-cosignature: messages and frames; the keys, Ed25519 and ML-DSA-44 |
//! | `tile` `bundle` | tlog-tiles: coordinates, paths, hashes and entries |
//! | `proof` | tlog-proof |
//! | `policy` `quorum` | tlog-policy, and what a checkpoint has to carry under one |
//! | `witness` | tlog-witness: requests and answers |
//! | `mirror` | tlog-mirror: uploads and answers |
//!
//! What an entry says, and what `extra` of a proof holds, is the business of `soul`; the tree itself is
//! `merkle`'s.
//!
//! Invariants: a value of these types is well-formed, and what is written of it reads back the same. What is read is
//! not believed: [`VerifiedSignature`], [`VerifiedCheckpoint`] and [`AcceptedCheckpoint`] are made by the checks of
//! their names alone. A signature is checked over the bytes received.

mod error;

mod vkey;

mod note;
mod signature;

mod origin;

mod checkpoint;
mod cosignature;
mod cosigner;

mod bundle;
mod tile;

mod proof;

mod policy;
mod quorum;

mod mirror;
mod witness;

pub use bundle::{BundleWriter, MAX_BUNDLE_ENTRIES, MAX_ENTRY_LEN, parse_bundle};
pub use checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint, sign_checkpoint};
pub use cosignature::{LogSubtree, Timestamp, TimestampedSignature};
pub use cosigner::Cosigner;
pub use error::{PolicyFault, TlogError, VerifyError};
pub use mirror::{
    ADD_ENTRIES_CONTENT_TYPE, AddEntriesHeader, Arrived, MAX_ADD_ENTRIES_HEADER_LEN, MAX_MIRROR_INFO_LEN,
    MAX_PACKAGE_ENTRIES, MAX_PACKAGE_LEN, MAX_TICKET_LEN, MIRROR_INFO_CONTENT_TYPE, MirrorInfo, Package, PackageRange,
    PackageRanges,
};
pub use note::{MAX_NOTE_LEN, MAX_SIGNATURES, Note, NoteSignature};
pub use origin::Origin;
pub use policy::{
    AcceptedCheckpoint, MAX_GROUPS, MAX_LOGS, MAX_POLICY_LEN, MAX_WITNESSES, Policy, PolicyLog, PolicyName,
    PolicyWitness,
};
pub use proof::{MAX_EXTRA_LEN, MAX_PATH_LEN, TlogProof, proof_text};
pub use quorum::{Cosigned, Quorum};
pub use signature::{Ed25519Signer, NoteSigner, NoteVerifier, VerifiedSignature};
pub use tile::{
    MAX_LEVEL, TILE_WIDTH, TileId, TileKind, bundles_grown, decode_hashes, encode_hashes, index_path, right_edge,
    tiles_grown,
};
pub use vkey::{KeyId, KeyName, MAX_VKEY_LEN, Vkey, VkeyType};
pub use witness::{
    AddCheckpointRequest, MAX_CONSISTENCY_LEN, MAX_SIGNATURE_LINES_LEN, MAX_WITNESS_REQUEST_LEN, SIZE_CONTENT_TYPE,
    SignSubtreeRequest, parse_signature_lines, parse_size_body, signature_lines, size_body,
};
