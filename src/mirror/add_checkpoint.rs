//! `add-checkpoint` of a mirror: as a witness's (C2SP tlog-witness), but nothing is cosigned. What passes becomes the
//! pending checkpoint.

use super::copy::Mirror;
use super::error::MirrorError;
use crate::hash::Hash;
use crate::log::Machine;
use crate::merkle::{EMPTY_ROOT, TreeSize};
use crate::tlog::{AddCheckpointRequest, SignedCheckpoint, TlogError};

/// What a request is answered with.
#[derive(Debug)]
pub enum CheckpointAnswer {
    /// 200: it is the pending checkpoint, and durable.
    Pending,
    /// 400.
    Malformed(String),
    /// 403: no key of the log has signed it.
    NotSigned(String),
    /// 404.
    UnknownLog(String),
    /// 409: the pending checkpoint has this size.
    Conflict(TreeSize),
    /// 422: it does not continue the pending checkpoint.
    Unprocessable(String),
    /// 503: the mirror could not keep it.
    Failed(MirrorError),
}

impl<M: Machine> Mirror<M> {
    /// Judges the body of a request.
    pub async fn add_checkpoint(&self, body: &[u8]) -> CheckpointAnswer {
        let request = match AddCheckpointRequest::parse(body) {
            Ok(request) => request,
            Err(TlogError::EmptyRoot) => {
                return CheckpointAnswer::Unprocessable("not the root of the empty tree".to_owned());
            }
            Err(error) => return CheckpointAnswer::Malformed(error.to_string()),
        };
        let claim = request.checkpoint().claim();
        if claim.origin() != self.origin() {
            return CheckpointAnswer::UnknownLog(format!("the log {} is not mirrored here", claim.origin()));
        }
        if let Err(error) = request.checkpoint().verify(self.log_keys()) {
            return CheckpointAnswer::NotSigned(error.to_string());
        }
        let mut progress = self.progress().await;
        let (size, root) = head_of(progress.pending.back());
        if request.old_size() != size {
            return CheckpointAnswer::Conflict(size);
        }
        if claim.size() == size && claim.root() != root {
            return CheckpointAnswer::Unprocessable(format!("another root is pending at size {size}"));
        }
        if let Err(error) = request.verify_consistency(&root) {
            return CheckpointAnswer::Unprocessable(format!("the proof does not hold: {error}"));
        }
        if claim.size() == size && !progress.pending.is_empty() {
            return CheckpointAnswer::Pending;
        }
        match self.add_pending(&mut progress, request.checkpoint()).await {
            Ok(()) => CheckpointAnswer::Pending,
            Err(error) => CheckpointAnswer::Failed(error),
        }
    }
}

fn head_of(pending: Option<&SignedCheckpoint>) -> (TreeSize, Hash) {
    pending.map_or((TreeSize::ZERO, EMPTY_ROOT), |pending| (pending.claim().size(), pending.claim().root()))
}
