//! A log's name and keys, and what they make of its checkpoints.

use super::error::{ClientError, FalseAnswer};
use super::transport::Client;
use crate::soul::LogId;
use crate::tlog::{NoteVerifier, Origin, Policy, SignedCheckpoint, Vkey};
use crate::wire::LogView;

/// A log whose signatures can be judged.
///
/// Keys that the node itself names show that its answers fit together and are signed; that they are those of the log that
/// is meant, only a policy from elsewhere shows.
#[derive(Clone, Debug)]
pub struct KnownLog {
    origin: Origin,
    id: LogId,
    verifiers: Vec<NoteVerifier>,
}

impl KnownLog {
    /// The log as the node at hand names it.
    pub async fn ask(client: &Client) -> Result<Self, ClientError> {
        Self::named_by(&client.log().await?)
    }

    /// The log as a node names it.
    pub fn named_by(view: &LogView) -> Result<Self, ClientError> {
        let origin = Origin::parse(&view.origin)?;
        let id = LogId::of_origin(origin.as_str());
        if view.log_id != id.to_hex() {
            return Err(FalseAnswer::form("log_id", "it is not the hash of the origin"));
        }
        let keys = [&view.log_vkey, &view.instant_vkey].map(|vkey| verifier(vkey, &origin));
        Ok(Self { origin, id, verifiers: keys.into_iter().collect::<Result<_, _>>()? })
    }

    /// Holds what a node says against a policy from elsewhere: the log key must be one of its.
    pub fn is_in(&self, policy: &Policy) -> bool {
        let log_key = self.verifiers.first();
        policy.logs().iter().any(|log| Some(log.verifier()) == log_key)
    }

    /// The origin line.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What links call it.
    pub const fn id(&self) -> LogId {
        self.id
    }

    /// Reads a checkpoint that this log has signed.
    pub fn check(&self, note: &str) -> Result<SignedCheckpoint, ClientError> {
        let checkpoint = SignedCheckpoint::parse(note.as_bytes())?;
        if checkpoint.claim().origin() != &self.origin {
            return Err(FalseAnswer::other("the checkpoint of a log"));
        }
        checkpoint.verify(&self.verifiers)?;
        Ok(checkpoint)
    }
}

fn verifier(vkey: &str, origin: &Origin) -> Result<NoteVerifier, ClientError> {
    let vkey = Vkey::parse(vkey)?;
    if vkey.name() != origin.key_name() {
        return Err(FalseAnswer::other("the key of a log"));
    }
    Ok(NoteVerifier::new(vkey)?)
}
