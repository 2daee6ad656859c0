//! Which key signs a link: the column "signer's role" of formats.md §4.
//!
//! Whether a key has the role, was live, or is the one that `next` commits to is for those who know the key set.

use super::types::{Body, NoticeKind, Roles};

/// What a key has to be to sign a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignerRole {
    /// Listed with the role `act`.
    Act,
    /// Listed with the role `admin`.
    Admin,
    /// Listed with either. Which of them a retract needs rests on the link that it takes back.
    ActOrAdmin,
    /// The key that the newest `next` commits to, and that the body names in `recovery`.
    Next,
}

impl Body {
    /// What has to sign a link with this body. That of a policy has to be the registrar's besides.
    pub const fn signer_role(&self) -> SignerRole {
        match self {
            Self::Genesis(_) | Self::Keys(_) | Self::Profile(_) | Self::Policy(_) => SignerRole::Admin,
            Self::RevokeAgent(revoke) if revoke.recovery.is_none() => SignerRole::Admin,
            Self::Recover(_) | Self::RevokeAgent(_) => SignerRole::Next,
            Self::Action(_) | Self::Receipt(_) | Self::Feedback(_) | Self::Attest(_) => SignerRole::Act,
            Self::Retract(_) => SignerRole::ActOrAdmin,
            Self::Notice(notice) => match notice.kind {
                NoticeKind::Revoke | NoticeKind::Release => SignerRole::Admin,
                _ => SignerRole::Act,
            },
        }
    }
}

impl Roles {
    /// Whether a key that is listed with these roles may sign what takes this one.
    pub const fn suffice_for(self, role: SignerRole) -> bool {
        match role {
            SignerRole::Act => self.act,
            SignerRole::Admin => self.admin,
            SignerRole::ActOrAdmin => self.act || self.admin,
            SignerRole::Next => false,
        }
    }
}

impl SignerRole {
    /// Its name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Admin => "admin",
            Self::ActOrAdmin => "act or admin",
            Self::Next => "next",
        }
    }
}
