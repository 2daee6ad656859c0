//! The chain index: how a link is found by identity and sequence number.
//!
//! Beside each link's entry lies a row of 24 bytes: the index of the previous link of its chain, and of an earlier one,
//! chosen by skew-binary jump pointers (Myers, 1983), so that any link is reached from the head in O(log n) rows. Which
//! sequence number a jump leads to is arithmetic, so these two hold indexes alone. The last 8 bytes are the way to the
//! previous link about the same subject (`about`). Rows are derived: whoever follows one checks the link that it leads to.

use crate::encoding::{Reader, Writer};
use crate::log::{Past, ReadError, Row};
use crate::merkle::LeafIndex;
use crate::registry::Head;
use crate::soul::Seqno;

/// In a row: there is none.
const NONE: u64 = u64::MAX;
/// A path of a chain of 2^53 links has fewer elements.
const MAX_PATH: usize = 128;

/// The links that the head's jumps pass, from the oldest to the head itself: all that the row of the next link needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct JumpPath(Vec<u64>);

impl JumpPath {
    /// Adds the link at `index`, which becomes the head, and gives its row. `len` is the length of the chain before,
    /// `about` the way to the previous link about its subject.
    pub(crate) fn push(&mut self, len: u64, index: LeafIndex, about: u64) -> Row {
        let prev = self.0.last().copied().unwrap_or(NONE);
        let target = jump_of(len + 1);
        // The path holds the links at the jumps of the old head. What the new link jumps over leaves it.
        let mut at = len;
        while at > target {
            self.0.pop();
            at = jump_of(at);
        }
        let jump = self.0.last().copied().unwrap_or(NONE);
        if at < len {
            debug_assert_eq!(at, target, "a jump leads to a link on the path of the link before");
        }
        self.0.push(index.get());
        row([prev, jump, about])
    }

    /// Whether it is that of a chain with this link alone.
    pub(crate) fn is_only(&self, index: LeafIndex) -> bool {
        self.0 == [index.get()]
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(self.0.len() as u8);
        for index in &self.0 {
            writer.u64(*index);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let len = usize::from(reader.u8()?);
        (len <= MAX_PATH).then_some(())?;
        let mut path = Vec::with_capacity(len);
        for _ in 0..len {
            path.push(reader.u64()?);
        }
        Some(Self(path))
    }
}

/// The sequence number that the link at `seqno` jumps to; 0 if it has no jump.
///
/// Written as a sum of numbers 2^k − 1, greatest first, it is `seqno` without the last one.
const fn jump_of(seqno: u64) -> u64 {
    let mut rest = seqno;
    loop {
        // The greatest 2^k − 1 that is not above the rest.
        let term = match (rest + 1).checked_ilog2() {
            Some(log) => (1 << log) - 1,
            None => return 0,
        };
        if term == rest {
            return seqno - term;
        }
        rest -= term;
    }
}

fn row(parts: [u64; 3]) -> Row {
    let mut row = Row::default();
    row.as_chunks_mut().0.iter_mut().zip(parts).for_each(|(bytes, part)| *bytes = part.to_be_bytes());
    row
}

fn parts(row: Row) -> [u64; 3] {
    let [prev, jump, about] =
        [0, 8, 16].map(|at| u64::from_be_bytes(*row[at..].first_chunk().expect("it has 24 bytes")));
    [prev, jump, about]
}

/// The index before and the index of the jump, of a row.
fn parse(row: Row) -> (Option<LeafIndex>, Option<LeafIndex>) {
    let [prev, jump, _] = parts(row).map(|index| Some(index).filter(|index| *index != NONE).map(LeafIndex::new));
    (prev, jump)
}

/// The way to the previous link about the subject of the one at `index`.
pub(crate) fn about(log: &dyn Past, index: LeafIndex) -> Result<u64, ReadError> {
    log.row(index).map(|row| parts(row)[2])
}

/// The index of the link before the one at `index`.
pub(crate) fn previous(log: &dyn Past, index: LeafIndex) -> Result<Option<LeafIndex>, ReadError> {
    let before = parse(log.row(index)?).0;
    check_order(index, before)
}

/// The index of the link at `seqno` of the chain that ends in `head`. The caller checks the link that it finds there.
pub(crate) fn find(log: &dyn Past, head: &Head, seqno: Seqno) -> Result<Option<LeafIndex>, ReadError> {
    if seqno.get() == 0 || seqno > head.seqno {
        return Ok(None);
    }
    let (mut at, mut index) = (head.seqno.get(), head.index);
    while at > seqno.get() {
        let (prev, jump) = parse(log.row(index)?);
        let by_jump = jump_of(at);
        let next = if by_jump >= seqno.get() {
            at = by_jump;
            jump
        } else {
            at -= 1;
            prev
        };
        index = check_order(index, next)?.ok_or_else(damaged)?;
    }
    Ok(Some(index))
}

/// Rows lead backwards, or they are damaged.
fn check_order(from: LeafIndex, to: Option<LeafIndex>) -> Result<Option<LeafIndex>, ReadError> {
    if to.is_some_and(|to| to >= from) { Err(damaged()) } else { Ok(to) }
}

pub(crate) fn damaged() -> ReadError {
    ReadError::Damaged {
        name: "chain.idx".into(),
        what: "it does not lead to the link; `soulchain fsck --repair` rebuilds it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pointers by their definition: a link jumps as far as its predecessor's jump's jump if both jumps are as long.
    fn naive_jumps(count: usize) -> Vec<u64> {
        let mut jumps = vec![0_u64; count + 1];
        for at in 1..=count {
            let prev = at as u64 - 1;
            let jump = jumps[prev as usize];
            let over = jumps[jump as usize];
            jumps[at] = if prev - jump == jump - over { over } else { prev };
        }
        jumps
    }

    #[test]
    fn jumps_are_arithmetic() {
        let naive = naive_jumps(3000);
        for (seqno, jump) in naive.iter().enumerate().skip(1) {
            // With a predecessor at hand the longer definition degenerates for the first link.
            assert_eq!(jump_of(seqno as u64), *jump, "{seqno}");
        }
    }

    #[test]
    fn every_link_is_reached_in_few_steps() {
        let mut path = JumpPath::default();
        let mut rows = Vec::new();
        for len in 0..3000_u64 {
            rows.push(path.push(len, LeafIndex::new(len * 3), len));
            assert!(path.0.len() < 32);
        }
        for target in 1..=3000_u64 {
            let (mut at, mut index, mut steps) = (3000, 2999 * 3, 0);
            while at > target {
                let (prev, jump) = parse(rows[index as usize / 3]);
                assert_eq!(parts(rows[index as usize / 3])[2], index / 3);
                (at, index) = if jump_of(at) >= target {
                    (jump_of(at), jump.unwrap().get())
                } else {
                    (at - 1, prev.unwrap().get())
                };
                steps += 1;
            }
            assert_eq!(index, (target - 1) * 3);
            assert!(steps <= 40, "{steps} steps to {target}");
        }
        let mut writer = Writer::default();
        path.write(&mut writer);
        assert_eq!(JumpPath::read(&mut Reader::new(&writer.into_bytes())), Some(path));
    }
}
