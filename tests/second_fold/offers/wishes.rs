//! Offers that are as somebody wants them, and otherwise right.

use serde_json::{Map, Value, json};

use super::super::body::hex;
use super::super::link::{GENESIS, Header, Id, KEYS, RECOVER, REVOKE_AGENT, kid_of};
use super::super::log::Log;
use super::{Author, Offer};

/// What somebody wants.
#[derive(Clone, Default)]
pub(crate) struct Wish {
    /// Members of the body.
    pub(crate) body: Value,
    /// Of a key event: none of the live keys stay.
    pub(crate) retires: bool,
    /// Of a key event: so many new keys.
    pub(crate) adds: u64,
    /// Of a key event: another key that it lists.
    pub(crate) lists: Option<(Id, &'static str)>,
    /// The key that signs.
    pub(crate) signer: Option<Id>,
    /// The recovery key signs.
    pub(crate) by_next: bool,
    /// Changes the body at last.
    pub(crate) edit: Option<fn(&mut Value)>,
    /// Changes the header at last; the same key signs.
    pub(crate) header: Option<fn(&mut Header)>,
}

impl Author {
    pub(crate) fn wished(&mut self, log: &Log, now: u64, actor: Id, link_type: u16, wish: Wish) -> Offer {
        self.carefully(|author| author.as_wished(log, now, actor, link_type, wish))
    }

    fn as_wished(&mut self, log: &Log, now: u64, actor: Id, link_type: u16, wish: Wish) -> Offer {
        let mut place = self.place(log, now, actor, link_type);
        if link_type == GENESIS {
            (place.keys, place.next, place.identity) = (Vec::new(), None, [0; 32]);
        }
        let mut body = Map::from_iter([("v".to_owned(), json!(1))]);
        if link_type == RECOVER || wish.by_next {
            self.sign_by_next(&mut place, &mut body);
        } else if link_type == KEYS || link_type == REVOKE_AGENT {
            self.sign_by(&mut place, "admin");
        }
        if let Some(pk) = wish.signer {
            place.header.kid = kid_of(&pk);
        }
        if [GENESIS, KEYS, RECOVER].contains(&link_type) {
            let live = place.keys.iter().filter(|key| key.revoked.is_none() && !wish.retires);
            let mut keys: Vec<(Id, Vec<String>)> = live.map(|key| (key.pk, key.roles.clone())).collect();
            let adds = wish.adds.max(u64::from(keys.is_empty()));
            keys.extend(self.new_keys(adds));
            if link_type == GENESIS && wish.signer.is_none() {
                place.header.kid = kid_of(&keys[0].0);
            }
            if let Some((pk, role)) = wish.lists {
                keys.retain(|(other, _)| *other != pk);
                keys.push((pk, vec![role.to_owned()]));
            }
            if link_type == RECOVER {
                body.insert("next".into(), hex(&self.new_next()).into());
            }
            self.list(&place, &mut body, keys);
        }
        if let Value::Object(members) = wish.body {
            body.extend(members);
        }
        let mut body = Value::Object(body);
        if let Some(edit) = wish.edit {
            edit(&mut body);
        }
        self.finish_as(place, body, wish.header)
    }

    /// A commitment to a new recovery key, in hex.
    pub(crate) fn fresh_next(&mut self) -> String {
        hex(&self.new_next())
    }

    /// The recovery key that a commitment is of.
    pub(crate) fn recovery_of(&self, next: &Id) -> Id {
        self.recovery[next]
    }

    pub(crate) fn fresh_key(&mut self) -> Id {
        self.new_key()
    }
}
