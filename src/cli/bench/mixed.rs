//! Chains as agents really have them: among the actions a new act key, a profile, and feedback on another agent.

use crate::cli::error::{CliError, CliResult};
use crate::client::{SignedLink, Signer, now, random_salt};
use crate::keyfile::KeyFile;
use crate::soul::{
    Beside, Body, ChainPosition, Curr, Draft, Feedback, Identity, KeyEntry, Keys, LinkType, LogId, Outcome, Profile,
    Roles, Seqno,
};

/// Of so many links one is a `keys`, one a `profile`, two are `feedback`.
const ROUND: usize = 20;
/// Greatest number of `keys` of a chain: a log lets so many keys be retired in 30 days.
const MAX_ROTATIONS: usize = 32;

/// What the links of an agent are made with, from the one after its genesis on.
pub(super) struct Mix {
    pub(super) log_id: LogId,
    pub(super) genesis: Curr,
    pub(super) admin: Signer,
    pub(super) act: Signer,
    /// Whom its feedback is about.
    pub(super) subject: Identity,
    /// Length of an action's body, about.
    pub(super) size: usize,
}

impl Mix {
    /// So many links, signed.
    pub(super) fn sign(mut self, links: usize) -> CliResult<Vec<SignedLink>> {
        let mut end = ChainPosition {
            identity: Identity::from(self.genesis),
            seqno: Seqno::FIRST.next(),
            prev: self.genesis,
            auth: self.genesis,
        };
        let mut signed = Vec::with_capacity(links);
        for at in 0..links {
            let link = match at % ROUND {
                4 if at / ROUND < MAX_ROTATIONS => self.keys(end)?,
                9 => self.inline(end, &self.admin, &Body::Profile(profile(at)))?,
                14 | 19 => self.inline(end, &self.act, &Body::Feedback(feedback(self.subject, at)))?,
                _ => self.action(end)?,
            };
            (end.seqno, end.prev) = (end.seqno.next(), link.link.curr());
            if link.link.header().link_type == LinkType::Keys {
                end.auth = end.prev;
            }
            signed.push(link);
        }
        Ok(signed)
    }

    fn draft(&self, position: ChainPosition, signer: &Signer, outcome: Outcome) -> Draft {
        Draft { log_id: self.log_id, position, ctime: now(), anchor: None, outcome, kid: signer.kid() }
    }

    fn action(&self, end: ChainPosition) -> CliResult<SignedLink> {
        let input = "x".repeat(self.size);
        let body = format!(r#"{{"action":"bench","input":"{input}","v":1}}"#).into_bytes();
        let draft = self.draft(end, &self.act, Outcome::Success);
        let unsigned = draft.beside(Beside { salt: random_salt()?, body }).map_err(|refusal| unfit(&refusal))?;
        Ok(unsigned.sign(self.act.key()).into())
    }

    fn inline(&self, end: ChainPosition, signer: &Signer, body: &Body) -> CliResult<SignedLink> {
        let draft = self.draft(end, signer, Outcome::None);
        Ok(draft.inline(body).map_err(|refusal| unfit(&refusal))?.sign(signer.key()).into())
    }

    /// Exchanges the act key.
    fn keys(&mut self, end: ChainPosition) -> CliResult<SignedLink> {
        let new = Signer::from(&KeyFile::generate()?);
        let entry = |signer: &Signer, act| KeyEntry::new(*signer.key().public().as_bytes(), Roles { act, admin: !act });
        let mut keys = vec![entry(&self.admin, false), entry(&new, true)];
        keys.sort_by_key(|key| key.kid);
        let pop = vec![self.draft(end, &self.admin, Outcome::None).pop(new.key())];
        let body = Body::Keys(Keys { keys, next: None, custodian: None, pop, suspect_from: None });
        self.act = new;
        self.inline(end, &self.admin, &body)
    }
}

fn profile(at: usize) -> Profile {
    Profile { display_name: Some("Bench".into()), version: Some(at.to_string()), ..Profile::default() }
}

fn feedback(subject: Identity, at: usize) -> Feedback {
    Feedback { subject, value: at as u64 % 101, tag: Some("bench".into()), link: None, comment_commit: None }
}

fn unfit(refusal: &crate::soul::Refusal) -> CliError {
    CliError::usage(format!("a link of this size cannot be made: {refusal}"))
}
