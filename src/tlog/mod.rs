//! The formats of a tiled log, one file for each C2SP document; strict in everything that is read.
//!
//! | file | document |
//! |---|---|
//! | `vkey` `note` `signature` | signed-note: verifier keys, notes, and the keys that sign and judge them |
//! | `origin` `checkpoint` | tlog-checkpoint, as formats.md §1 narrows it: no extension lines |
//! | `cosignature` | tlog-cosignature: Ed25519; of ML-DSA-44 only the frame is read, no signature is judged |
//! | `tile` `bundle` | tlog-tiles: coordinates, paths, hashes and entries |
//! | `proof` | tlog-proof |
//! | `policy` `quorum` | tlog-policy, and what a checkpoint has to carry under one |
//!
//! The wire formats of witnesses (tlog-witness) and mirrors (tlog-mirror) have their place here, as `witness` and
//! `mirror`. What an entry says, and what `extra` of a proof holds, is the business of `soul`; the tree itself is
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

mod bundle;
mod tile;

mod proof;

mod policy;
mod quorum;

pub use bundle::{BundleWriter, MAX_BUNDLE_ENTRIES, MAX_ENTRY_LEN, parse_bundle};
pub use checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint, sign_checkpoint};
pub use cosignature::{Cosigner, ML_DSA_44_SIGNATURE_LEN, Timestamp, TimestampedSignature};
pub use error::{PolicyFault, TlogError, VerifyError};
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
pub use vkey::{KeyId, KeyName, MAX_VKEY_LEN, ML_DSA_44_KEY_LEN, Vkey, VkeyType};
