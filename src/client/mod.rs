//! Talking to a node, and believing none of it.
//!
//! [`Client`] has a call for each route of the HTTP interface; it hands on what a node says, as `wire` shapes it.
//! [`KnownLog`] holds a log's keys and judges its checkpoints; [`Logged`] is a link whose place in a signed checkpoint was
//! checked. [`Agent`] holds keys and the end of a chain: it builds links, signs them, appends them, and hands back a
//! [`Logged`] for each. A [`RelyingParty`] asks for proofs and shows nothing that its policy does not bear out; what it
//! shows of an agent a [`KeyEvent`] rests on: new keys, recovery, the end.
//!
//! A node cannot choose what is signed: links are made here (`soul::Draft`), and of a node's answer only the place in the
//! chain goes into them. What a log node may still do, and what finds it out, is said in `verify` (formats.md §8).
//!
//! Requests that are repeated after a failure are those that may be: reading, and appending the very same links, which a
//! log answers with the place that they have already.

mod error;

mod time;

mod calls;
mod transport;

mod known_log;
mod logged;
mod relying;

mod action;
mod agent;
mod key_event;
mod keys;
mod registration;

pub use action::Action;
pub use agent::Agent;
pub use calls::{AgentFilter, Form, LinkFilter, ProofWanted};
pub use error::{ClientError, FalseAnswer};
pub use key_event::{KeyChange, KeyEvent};
pub use keys::{AgentKeys, Signer};
pub use known_log::KnownLog;
pub use logged::{Logged, SignedLink};
pub use registration::{NewAgent, random_salt};
pub use relying::{Proven, RelyingParty};
pub use time::now;
pub use transport::{Client, MAX_ANSWER_LEN, Patience};
