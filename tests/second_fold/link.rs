//! Entries, read by offsets (§2, §7).

use sha2::{Digest as _, Sha256};

/// 32 bytes: an identity, a kid, a curr, a hash.
pub(crate) type Id = [u8; 32];

pub(crate) const GENESIS: u16 = 0x0001;
pub(crate) const KEYS: u16 = 0x0002;
pub(crate) const RECOVER: u16 = 0x0003;
pub(crate) const REVOKE_AGENT: u16 = 0x0004;
pub(crate) const PROFILE: u16 = 0x0005;
pub(crate) const ACTION: u16 = 0x0100;
pub(crate) const RECEIPT: u16 = 0x0101;
pub(crate) const FEEDBACK: u16 = 0x0102;
pub(crate) const ATTEST: u16 = 0x0103;
pub(crate) const RETRACT: u16 = 0x0104;
pub(crate) const NOTICE: u16 = 0x0105;
pub(crate) const POLICY: u16 = 0x0200;
pub(crate) const TYPES: [u16; 12] =
    [GENESIS, KEYS, RECOVER, REVOKE_AGENT, PROFILE, ACTION, RECEIPT, FEEDBACK, ATTEST, RETRACT, NOTICE, POLICY];

const MAX: u64 = (1 << 53) - 1;

/// The fields of `M`.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) log_id: Id,
    pub(crate) identity: Id,
    pub(crate) seqno: u64,
    pub(crate) prev: Id,
    pub(crate) auth: Id,
    pub(crate) link_type: u16,
    pub(crate) flags: u8,
    pub(crate) ctime: u64,
    pub(crate) anchor_size: u64,
    pub(crate) anchor_root: Id,
    pub(crate) kid: Id,
    pub(crate) body_len: u32,
    pub(crate) body_commit: Id,
}

/// A link that is not malformed.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) header: Header,
    pub(crate) message: Vec<u8>,
    pub(crate) sig: [u8; 64],
    /// Its bytes in the entry.
    pub(crate) body: Vec<u8>,
    pub(crate) curr: Id,
}

/// A trailer that is not malformed.
#[derive(Clone, Debug)]
pub(crate) struct Trailer {
    pub(crate) covers: u64,
    pub(crate) map_root: Id,
    pub(crate) identities: u64,
    pub(crate) log_time: u64,
}

impl Header {
    /// `M`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut m = b"soulchain/link/v1\n\x01".to_vec();
        m.extend(self.log_id);
        m.extend(self.identity);
        m.extend(self.seqno.to_be_bytes());
        m.extend(self.prev);
        m.extend(self.auth);
        m.extend(self.link_type.to_be_bytes());
        m.push(self.flags);
        m.extend(self.ctime.to_be_bytes());
        m.extend(self.anchor_size.to_be_bytes());
        m.extend(self.anchor_root);
        m.extend(self.kid);
        m.extend(self.body_len.to_be_bytes());
        m.extend(self.body_commit);
        m
    }
}

impl Link {
    /// `None`: malformed.
    pub(crate) fn parse(entry: &[u8]) -> Option<Self> {
        if entry.len() < 339 || entry.len() > 65_535 || entry[0] != 1 {
            return None;
        }
        let m = &entry[1..275];
        if &m[..18] != b"soulchain/link/v1\n" || m[18] != 1 {
            return None;
        }
        let id = |at: usize| -> Id { m[at..at + 32].try_into().unwrap() };
        let long = |at: usize| u64::from_be_bytes(m[at..at + 8].try_into().unwrap());
        let header = Header {
            log_id: id(19),
            identity: id(51),
            seqno: long(83),
            prev: id(91),
            auth: id(123),
            link_type: u16::from_be_bytes([m[155], m[156]]),
            flags: m[157],
            ctime: long(158),
            anchor_size: long(166),
            anchor_root: id(174),
            kid: id(206),
            body_len: u32::from_be_bytes(m[238..242].try_into().unwrap()),
            body_commit: id(242),
        };
        let body = entry[339..].to_vec();
        let sig = entry[275..339].try_into().unwrap();
        let link = Self { header, message: m.to_vec(), sig, body, curr: hash(&[m]) };
        link.is_well_formed().then_some(link)
    }

    fn is_well_formed(&self) -> bool {
        let header = &self.header;
        let is_action = header.link_type == ACTION;
        let may_have_outcome = is_action || header.link_type == RECEIPT;
        let len = if self.is_inline() { header.body_len as usize } else { 0 };
        TYPES.contains(&header.link_type)
            && [header.seqno, header.ctime, header.anchor_size].iter().all(|&n| n <= MAX)
            && header.flags & !7 == 0
            && (may_have_outcome || header.flags & 6 == 0)
            && (is_action || self.is_inline())
            && !(header.body_len == 0 && self.is_inline())
            && header.body_len <= 1 << 20
            && (!self.is_inline() || header.body_len <= 60_000)
            && self.body.len() == len
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.header.flags & 1 == 1
    }

    pub(crate) fn is_key_event(&self) -> bool {
        (GENESIS..=REVOKE_AGENT).contains(&self.header.link_type)
    }

    /// The chain that it belongs to.
    pub(crate) fn chain(&self) -> Id {
        if self.header.link_type == GENESIS { self.curr } else { self.header.identity }
    }
}

impl Trailer {
    pub(crate) fn parse(entry: &[u8]) -> Option<Self> {
        if entry.len() != 76 || &entry[..20] != b"\x02soulchain/state/v1\n" {
            return None;
        }
        let long = |at: usize| u64::from_be_bytes(entry[at..at + 8].try_into().unwrap());
        let map_root = entry[28..60].try_into().unwrap();
        Some(Self { covers: long(20), map_root, identities: long(60), log_time: long(68) })
    }
}

pub(crate) fn hash(parts: &[&[u8]]) -> Id {
    Sha256::digest(parts.concat()).into()
}

pub(crate) fn kid_of(pk: &Id) -> Id {
    hash(&[b"soulchain/kid/v1\n", &[1], pk])
}

pub(crate) fn next_of(pk: &Id) -> Id {
    hash(&[b"soulchain/next/v1\n", &[1], pk])
}

pub(crate) fn inline_commit(body: &[u8]) -> Id {
    hash(&[b"soulchain/body/v1\n", body])
}

/// HMAC-SHA256 under a key of 32 bytes (RFC 2104).
pub(crate) fn hmac_commit(salt: &[u8], body: &[u8]) -> Id {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| salt.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = hash(&[&pad(0x36), b"soulchain/body/v1\n", body]);
    hash(&[&pad(0x5c), &inner])
}

/// What a proof of possession signs.
pub(crate) fn pop_message(header: &Header, kid: &Id) -> Vec<u8> {
    [b"soulchain/pop/v1\n", &header.log_id[..], &header.identity, &header.seqno.to_be_bytes(), &header.kid, kid]
        .concat()
}
