//! Held chains: an owner whose key event was outrun gets 30 seconds in which it cannot be outrun again.
//!
//! Whoever holds a stolen key can append without pause, so that each key event of the owner meets `conflict`: the chain
//! has grown since it was signed. A key event that failed with `conflict` alone therefore *holds* its chain. The owner is
//! told where the chain ends, signs the event anew there, and gets in, because until then links of other types are
//! answered with `held`. The hold ends after 30 seconds, or when a key event enters the chain: the owner's, or a
//! thief's, and then the owner's next try holds anew.
//!
//! **With `conflict` alone** means: it was made for a place that was free in the last 30 seconds (at its seqno there is
//! a link, sealed since then, that follows the same link under the same keys), its signature and proofs of possession
//! verify, and if seqno, prev, auth and a clock that is behind were right, it would be admitted as of now
//! ([`Registry::admit_elsewhere`](crate::registry::Registry::admit_elsewhere)). So old events cannot be played back.
//!
//! **What is held**: all types but that of the event which holds; where this is `keys`, only what is no key event.
//! `recover`, and whatever the next key signs, is never held.
//!
//! **How often**: once for an event, so that nobody holds a chain with what an owner once sent, and three times between
//! two key events for those that an admin key signs, so that a thief who has one cannot stop the agent for long. The next
//! key may hold each time.
//!
//! It is the memory of this process: a restart forgets it, and no monitor knows of it. It is bounded: where there is no
//! room a chain is not held, and the count of chains that are not held now may be forgotten.

use std::collections::HashMap;

use crate::encoding::UnixMillis;
use crate::soul::{Body, Curr, Header, Identity, LinkType};

/// How long a chain is held, and how long ago a place may have been free.
pub(crate) const HOLD_MS: u64 = 30_000;
/// How often events that an admin key signs hold a chain between two key events.
const MAX_BY_ADMIN: u32 = 3;
/// Chains that are remembered.
const MAX_CHAINS: usize = 1 << 16;
/// Holds of one chain that are remembered, by admin keys and by the next key each.
const MAX_HOLDS: usize = 8;

/// What of a link decides whether it is held, or holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    link_type: LinkType,
    by_next: bool,
}

/// Where a chain stands: what it is, and its newest key event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) identity: Identity,
    pub(crate) key_head: Curr,
}

/// All chains that are held, or were of late.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    chains: HashMap<Identity, Holding>,
    /// Before this time no hold ends that is remembered: looking for room is of no use.
    full_until: UnixMillis,
}

#[derive(Debug)]
struct Holding {
    /// The newest key event when the last hold began; counts are of the time since.
    key_head: Curr,
    by_admin: u32,
    holds: Vec<Hold>,
}

#[derive(Debug)]
struct Hold {
    curr: Curr,
    kind: Kind,
    key_head: Curr,
    until: UnixMillis,
}

impl Kind {
    /// Of a link.
    pub(crate) fn of(header: &Header, body: &Body) -> Self {
        Self { link_type: header.link_type, by_next: body.recovery().is_some() }
    }

    fn holds(self, other: Self) -> bool {
        let same = self.link_type == other.link_type;
        let both_key_events = self.link_type == LinkType::Keys && other.link_type.is_key_event();
        !(other.by_next || same || both_key_events)
    }
}

impl Holds {
    /// Until when a link of this kind is held.
    pub(crate) fn held_until(&self, chain: &Chain, kind: Kind, now: UnixMillis) -> Option<UnixMillis> {
        // Most of the time nothing is held anywhere.
        let holding = self.chains.get(&chain.identity)?;
        let stands = |hold: &&Hold| now < hold.until && hold.key_head == chain.key_head && hold.kind.holds(kind);
        holding.holds.iter().filter(stands).map(|hold| hold.until).max()
    }

    /// A key event of this id failed with `conflict` alone. Says whether it holds the chain from now on.
    pub(crate) fn place(&mut self, chain: &Chain, curr: Curr, kind: Kind, now: UnixMillis) -> bool {
        if !self.chains.contains_key(&chain.identity) && !self.make_room(now) {
            return false;
        }
        let holding = self.chains.entry(chain.identity).or_insert_with(|| Holding::new(chain.key_head));
        holding.place(chain.key_head, curr, kind, now)
    }

    /// Forgets chains that are not held, where there are too many.
    fn make_room(&mut self, now: UnixMillis) -> bool {
        if self.chains.len() < MAX_CHAINS {
            return true;
        }
        if now < self.full_until {
            return false;
        }
        self.chains.retain(|_, holding| holding.ends() > now);
        self.full_until = self.chains.values().map(Holding::ends).min().unwrap_or_default();
        self.chains.len() < MAX_CHAINS
    }
}

impl Holding {
    fn new(key_head: Curr) -> Self {
        Self { key_head, by_admin: 0, holds: Vec::new() }
    }

    fn place(&mut self, key_head: Curr, curr: Curr, kind: Kind, now: UnixMillis) -> bool {
        // After that long its place is too old for it to hold again.
        self.holds.retain(|hold| now < hold.until);
        if self.key_head != key_head {
            (self.key_head, self.by_admin) = (key_head, 0);
        }
        // Those of the next key have room of their own: a thief of an admin key cannot take it up.
        let like_it = self.holds.iter().filter(|hold| hold.kind.by_next == kind.by_next).count();
        let spent = self.holds.iter().any(|hold| hold.curr == curr) || like_it == MAX_HOLDS;
        if spent || (!kind.by_next && self.by_admin == MAX_BY_ADMIN) {
            return false;
        }
        self.by_admin += u32::from(!kind.by_next);
        self.holds.push(Hold { curr, kind, key_head, until: now.saturating_add(HOLD_MS) });
        true
    }

    fn ends(&self) -> UnixMillis {
        self.holds.iter().map(|hold| hold.until).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    const ADMIN_KEYS: Kind = Kind { link_type: LinkType::Keys, by_next: false };
    const ADMIN_REVOKE: Kind = Kind { link_type: LinkType::RevokeAgent, by_next: false };
    const NEXT_REVOKE: Kind = Kind { link_type: LinkType::RevokeAgent, by_next: true };
    const RECOVER: Kind = Kind { link_type: LinkType::Recover, by_next: true };
    const ACTION: Kind = Kind { link_type: LinkType::Action, by_next: false };
    const PROFILE: Kind = Kind { link_type: LinkType::Profile, by_next: false };
    const KINDS: [Kind; 6] = [ADMIN_KEYS, ADMIN_REVOKE, NEXT_REVOKE, RECOVER, ACTION, PROFILE];

    fn curr(number: u64) -> Curr {
        Curr::from_bytes(sha256(&[&number.to_be_bytes()]))
    }

    fn chain(number: u64, key_head: u64) -> Chain {
        Chain { identity: Identity::from(curr(number)), key_head: curr(1_000_000 + key_head) }
    }

    #[test]
    fn what_each_event_holds() {
        let held = |by: Kind| KINDS.map(|kind| by.holds(kind));
        assert_eq!(held(ADMIN_KEYS), [false, false, false, false, true, true]);
        assert_eq!(held(ADMIN_REVOKE), [true, false, false, false, true, true]);
        assert_eq!(held(NEXT_REVOKE), [true, false, false, false, true, true]);
        assert_eq!(held(RECOVER), [true, true, false, false, true, true]);
    }

    #[test]
    fn thirty_seconds_or_until_a_key_event() {
        let mut holds = Holds::default();
        let (one, other) = (chain(1, 0), chain(2, 0));
        let at = UnixMillis::new;
        assert!(holds.place(&one, curr(7), ADMIN_KEYS, at(1_000)));
        assert_eq!(holds.held_until(&one, ACTION, at(1_000)), Some(at(31_000)));
        assert_eq!(holds.held_until(&one, ACTION, at(30_999)), Some(at(31_000)));
        assert_eq!(holds.held_until(&one, ACTION, at(31_000)), None);
        assert_eq!(holds.held_until(&one, ADMIN_REVOKE, at(1_001)), None);
        assert_eq!(holds.held_until(&other, ACTION, at(1_001)), None);
        // The same chain after a key event.
        assert_eq!(holds.held_until(&chain(1, 1), ACTION, at(1_001)), None);
        // Once for an event, before and after a key event.
        assert!(!holds.place(&one, curr(7), ADMIN_KEYS, at(2_000)));
        assert!(!holds.place(&chain(1, 1), curr(7), ADMIN_KEYS, at(2_000)));
        assert!(holds.place(&chain(1, 1), curr(8), ADMIN_KEYS, at(2_000)));
    }

    #[test]
    fn an_admin_key_holds_three_times_and_the_next_key_each_time() {
        let mut holds = Holds::default();
        let at = |round: u64| UnixMillis::new(round * 40_000);
        let tries = |holds: &mut Holds, chain: &Chain, kind: Kind, from: u64| {
            (from..from + 5)
                .map(|round| holds.place(chain, curr(round), kind, at(round)))
                .filter(|placed| *placed)
                .count()
        };
        assert_eq!(tries(&mut holds, &chain(1, 0), ADMIN_KEYS, 0), 3);
        assert_eq!(tries(&mut holds, &chain(1, 0), RECOVER, 10), 5);
        assert_eq!(tries(&mut holds, &chain(1, 0), ADMIN_REVOKE, 20), 0);
        assert_eq!(tries(&mut holds, &chain(1, 1), ADMIN_REVOKE, 30), 3);
        // At one time no more than are remembered.
        let placed = (100..200).filter(|number| holds.place(&chain(1, 1), curr(*number), RECOVER, at(100))).count();
        assert_eq!(placed, MAX_HOLDS);
    }

    #[test]
    fn holds_of_admin_keys_leave_the_next_key_its_room() {
        let mut holds = Holds::default();
        let at = UnixMillis::new(1_000);
        // Three holds between two key events, and a key event whenever they are used up.
        let placed = (0..30).filter(|number| holds.place(&chain(1, number / 3), curr(*number), ADMIN_KEYS, at)).count();
        assert_eq!(placed, MAX_HOLDS);
        assert!(holds.place(&chain(1, 10), curr(100), RECOVER, at));
        assert!(holds.held_until(&chain(1, 10), ADMIN_KEYS, at).is_some());
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut holds = Holds::default();
        let at = UnixMillis::new;
        for number in 0..MAX_CHAINS as u64 {
            assert!(holds.place(&chain(number, 0), curr(number), ADMIN_KEYS, at(number / 8)));
        }
        let late = chain(1 << 40, 0);
        assert!(!holds.place(&late, curr(1), ADMIN_KEYS, at(20_000)));
        assert_eq!(holds.chains.len(), MAX_CHAINS);
        assert_eq!(holds.held_until(&chain(5, 0), ACTION, at(20_000)), Some(at(30_000)));
        // Those that have ended make room.
        assert!(holds.place(&late, curr(1), ADMIN_KEYS, at(30_001)));
        assert!(holds.chains.len() < MAX_CHAINS);
        assert_eq!(holds.held_until(&chain(60_000, 0), ACTION, at(30_001)), Some(at(37_500)));
    }

    /// The rules again, told from the list of everything that was tried.
    #[derive(Default)]
    struct Naive {
        placed: Vec<(u64, u64, u64, Kind, u64)>,
    }

    impl Naive {
        fn place(&mut self, (id, head): (u64, u64), event: u64, kind: Kind, now: u64) -> bool {
            let mine = || self.placed.iter().filter(|(whose, ..)| *whose == id);
            let again = mine().any(|(_, _, was, _, at)| *was == event && now < at + HOLD_MS);
            let by_admin = mine().rev().take_while(|(_, at, ..)| *at == head).filter(|(_, _, _, by, _)| !by.by_next);
            let like_it = mine().filter(|(_, _, _, by, at)| now < at + HOLD_MS && by.by_next == kind.by_next);
            let room = like_it.count() < MAX_HOLDS;
            let placed = !again && room && (kind.by_next || by_admin.count() < MAX_BY_ADMIN as usize);
            if placed {
                self.placed.push((id, head, event, kind, now));
            }
            placed
        }

        fn held(&self, (id, head): (u64, u64), kind: Kind, now: u64) -> bool {
            let stands = |(whose, at_head, _, by, at): &&(u64, u64, u64, Kind, u64)| {
                *whose == id && *at_head == head && now < at + HOLD_MS && by.holds(kind)
            };
            self.placed.iter().any(|hold| stands(&hold))
        }
    }

    #[test]
    fn random_tries_against_the_list_of_all() {
        let mut dice = 1_u64;
        let mut below = |end: u64| {
            dice = u64::from_be_bytes(*sha256(&[&dice.to_be_bytes()]).first_chunk().unwrap());
            dice % end
        };
        let (mut holds, mut naive, mut heads, mut now) = (Holds::default(), Naive::default(), [0_u64; 3], 0);
        let mut placed = 0;
        for _ in 0..4_000 {
            now += below(9_000);
            let id = below(3);
            if below(12) == 0 {
                heads[id as usize] += 1;
            }
            let (head, event) = (heads[id as usize], below(500));
            let kind = KINDS[below(4) as usize];
            let here = chain(id, id * 10_000 + head);
            let is_placed = holds.place(&here, curr(event), kind, UnixMillis::new(now));
            assert_eq!(is_placed, naive.place((id, head), event, kind, now));
            placed += usize::from(is_placed);
            for kind in KINDS {
                let held = holds.held_until(&here, kind, UnixMillis::new(now)).is_some();
                assert_eq!(held, naive.held((id, head), kind, now));
            }
        }
        assert!(placed > 500 && placed < 3_900, "{placed}");
    }
}
