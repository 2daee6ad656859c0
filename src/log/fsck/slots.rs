//! Where the slots of a damaged file of bodies are, as far as that can be proven.
//!
//! Reading goes from slot to slot by their lengths, so one wrong byte in a head hides all slots behind it. Here the
//! entries tell which slots may be in the file, how long each is, and whether a salt and a body are theirs. Bytes are a
//! slot's where one of these holds:
//!
//! - the salt and the body are those that the entry commits to, whatever the bytes around them say;
//! - its head is right, and where it ends the file ends or another slot begins;
//! - between two slots that are found, the lengths of the entries fit the bytes in one way only.
//!
//! Where none begins at once, the next one is looked for by its head, and by its salt and body wherever slots of some
//! entries would have ended: so two slots side by side that are both damaged do not hide each other.
//!
//! What is left is a gap: bytes of which no more is known than which entries' slots may have lain there.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::log::bodies::{HEAD_LEN, Stated, stated};
use crate::log::tail::SideBody;

/// What the entries of a bundle say about its file.
pub(super) struct Takes<'a> {
    /// By place: the length of the body that an entry may have beside it.
    pub(super) lens: Vec<Option<u32>>,
    /// Whether a body is the one of the entry at this place.
    pub(super) is_of: &'a dyn Fn(usize, &SideBody) -> bool,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The slot of the entry at this place.
    Slot(usize, Range<usize>),
    /// Slots of some of the entries between these places, none of which is known.
    Gap(Range<usize>, Range<usize>),
}

/// Greatest number of steps in which the lengths of entries are fitted into a gap.
const MAX_STEPS: usize = 1 << 14;

/// Greatest number of bodies that are tried for where the next slot in a gap begins.
const MAX_TRIES: usize = 1 << 17;
/// Of these, for one number of slots before it: all places of one slot and of the one behind it are fewer.
const MAX_LEVEL_TRIES: usize = 1 << 15;

/// Divides a file. The pieces are in order and make up all of it.
pub(super) fn divide(file: &[u8], takes: &Takes<'_>) -> Vec<Piece> {
    let (mut pieces, mut offset, mut least) = (Vec::new(), 0, 0);
    while offset < file.len() {
        if let Some((at, end)) = takes.slot(file, offset, least) {
            pieces.push(Piece::Slot(at, offset..end));
            (offset, least) = (end, at + 1);
            continue;
        }
        let (end, most) = takes.next(file, offset, least).unwrap_or((file.len(), takes.lens.len()));
        pieces.extend(takes.fit(offset..end, least..most));
        (offset, least) = (end, most);
    }
    pieces
}

impl Takes<'_> {
    /// Length of the slot of an entry.
    fn slot_len(&self, at: usize) -> Option<usize> {
        self.lens[at].map(|len| HEAD_LEN + len as usize)
    }

    /// The slot that begins here.
    fn slot(&self, file: &[u8], offset: usize, least: usize) -> Option<(usize, usize)> {
        let end = |at: usize| self.slot_len(at).map(|len| offset + len);
        if let Some(at) = self.proven_by_head(file, offset, least) {
            return Some((at, end(at)?));
        }
        let is_here = |at: &usize| self.holds(file, offset, *at);
        if let Some(at) = (least..self.lens.len()).find(is_here) {
            return Some((at, end(at)?));
        }
        let head = self.head(file, offset, least)?;
        let end = end(head.at)?;
        self.goes_on(file, end, head.at + 1).then_some((head.at, end))
    }

    /// Where the next proven slot begins behind `start`, where none does, and of which entry it is.
    fn next(&self, file: &[u8], start: usize, least: usize) -> Option<(usize, usize)> {
        let by_head = (start + 1..file.len()).find_map(|from| Some((from, self.proven_by_head(file, from, least)?)));
        self.next_by_body(file, start, least, by_head.map_or(file.len(), |(from, _)| from)).or(by_head)
    }

    /// The first slot before `end` whose salt and body are right, and that begins where slots of some entries end that
    /// fill the bytes from `start` to it. Few of them are tried before many, and entries in a row first.
    fn next_by_body(&self, file: &[u8], start: usize, least: usize, mut end: usize) -> Option<(usize, usize)> {
        let (mut found, mut tries) = (None, MAX_TRIES);
        let mut ends = vec![(start, least)];
        while !ends.is_empty() && tries > 0 {
            ends = self.ends_of_one_more(&ends, end);
            let mut of_level = tries.min(MAX_LEVEL_TRIES);
            tries -= of_level;
            for &(from, least) in &ends {
                let Some(at) = self.holds_one_of(file, from, least, &mut of_level).filter(|_| from < end) else {
                    continue;
                };
                (found, end) = (Some((from, at)), from);
            }
            tries += of_level;
        }
        found
    }

    /// Where the slot of one more entry ends, if it begins at one of these; with the least place of the slot behind it.
    fn ends_of_one_more(&self, ends: &[(usize, usize)], end: usize) -> Vec<(usize, usize)> {
        let (mut further, mut known) = (Vec::new(), BTreeMap::new());
        for &(from, least) in ends {
            for at in least..self.lens.len() {
                let Some(to) = self.slot_len(at).map(|len| from + len).filter(|to| *to < end) else { continue };
                if known.get(&to).is_none_or(|known| at + 1 < *known) && further.len() < MAX_LEVEL_TRIES {
                    known.insert(to, at + 1);
                    further.push((to, at + 1));
                }
            }
        }
        further
    }

    /// The entry from `least` on whose salt and body are here.
    fn holds_one_of(&self, file: &[u8], offset: usize, least: usize, tries: &mut usize) -> Option<usize> {
        (least..self.lens.len()).find(|at| {
            let fits = self.slot_len(*at).is_some_and(|len| offset + len <= file.len()) && *tries > 0;
            *tries -= usize::from(fits);
            fits && self.holds(file, offset, *at)
        })
    }

    /// Whether the file ends here, or a slot of a later entry begins.
    fn goes_on(&self, file: &[u8], offset: usize, least: usize) -> bool {
        let is_there = || (least..self.lens.len()).any(|at| self.holds(file, offset, at));
        offset == file.len() || self.head(file, offset, least).is_some() || is_there()
    }

    /// A head that fits an entry and the file.
    fn head(&self, file: &[u8], offset: usize, least: usize) -> Option<Stated> {
        let head = stated(file.get(offset..)?)?;
        let fits = head.at >= least && self.lens.get(head.at) == Some(&Some(head.len));
        (fits && offset + self.slot_len(head.at)? <= file.len()).then_some(head)
    }

    /// The place that the head here names, where nothing in the slot contradicts it.
    fn proven_by_head(&self, file: &[u8], offset: usize, least: usize) -> Option<usize> {
        let head = self.head(file, offset, least)?;
        let content = &file[offset..offset + self.slot_len(head.at)?];
        let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let is_proven = if head.is_erased {
            // So many zeros may be anywhere: what follows has to fit too.
            let end = offset + content.len();
            is_blank(&content[2..34]) && is_blank(&content[HEAD_LEN..]) && self.goes_on(file, end, head.at + 1)
        } else {
            self.holds(file, offset, head.at)
        };
        is_proven.then_some(head.at)
    }

    /// Whether the salt and the body of an entry are where they are in a slot that begins here.
    fn holds(&self, file: &[u8], offset: usize, at: usize) -> bool {
        let slot = || file.get(offset..offset + self.slot_len(at)?);
        slot().is_some_and(|slot| {
            let salt = slot[2..34].try_into().expect("a head has a salt of 32 bytes");
            (self.is_of)(at, &SideBody { salt, bytes: Bytes::copy_from_slice(&slot[HEAD_LEN..]) })
        })
    }

    /// The slots of some entries that fill a gap, where only one choice of entries does.
    fn fit(&self, gap: Range<usize>, places: Range<usize>) -> Vec<Piece> {
        let some: Vec<(usize, usize)> = places.clone().filter_map(|at| Some((at, self.slot_len(at)?))).collect();
        let mut search = Search { some: &some, chosen: Vec::new(), found: Vec::new(), steps: 0 };
        search.run(0, gap.len());
        let [only] = &search.found[..] else { return vec![Piece::Gap(places, gap)] };
        if search.steps > MAX_STEPS {
            return vec![Piece::Gap(places, gap)];
        }
        let mut start = gap.start;
        let slots = only.iter().map(|(at, len)| {
            let slot = Piece::Slot(*at, start..start + len);
            start += len;
            slot
        });
        slots.collect()
    }
}

/// Looks for choices of slots that fill so many bytes, until there are two.
struct Search<'a> {
    some: &'a [(usize, usize)],
    chosen: Vec<(usize, usize)>,
    found: Vec<Vec<(usize, usize)>>,
    steps: usize,
}

impl Search<'_> {
    fn run(&mut self, from: usize, left: usize) {
        self.steps += 1;
        if left == 0 {
            return self.found.push(self.chosen.clone());
        }
        for next in from..self.some.len() {
            if self.found.len() > 1 || self.steps > MAX_STEPS {
                return;
            }
            let (at, len) = self.some[next];
            if len <= left {
                self.chosen.push((at, len));
                self.run(next + 1, left - len);
                self.chosen.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::bodies::{erased_slot, slot};

    /// A body of this length, of the entry at this place.
    fn body_of(at: usize, len: usize) -> SideBody {
        SideBody { salt: [at as u8 + 1; 32], bytes: vec![0xa0 | at as u8; len].into() }
    }

    const LENS: [Option<u32>; 6] = [Some(20), None, Some(50), Some(31), Some(20), Some(31)];

    /// The slots of those that are given their bodies: entry 4 never was.
    fn file() -> (Vec<u8>, Vec<Piece>) {
        let (mut file, mut pieces) = (Vec::new(), Vec::new());
        for at in [0, 2, 3, 5] {
            let start = file.len();
            let len = LENS[at].unwrap();
            file.extend(if at == 3 { erased_slot(at, len) } else { slot(at, &body_of(at, len as usize)) });
            pieces.push(Piece::Slot(at, start..file.len()));
        }
        (file, pieces)
    }

    fn divided(file: &[u8]) -> Vec<Piece> {
        let is_of = |at: usize, body: &SideBody| *body == body_of(at, LENS[at].unwrap_or(0) as usize);
        divide(file, &Takes { lens: LENS.to_vec(), is_of: &is_of })
    }

    #[test]
    fn one_wrong_byte_hides_no_slot() {
        let (file, pieces) = file();
        assert_eq!(divided(&file), pieces);
        for at in 0..file.len() {
            let is_place = pieces.iter().any(|piece| matches!(piece, Piece::Slot(_, extent) if extent.start == at));
            let flips: Vec<u8> = if is_place { (1..=255).collect() } else { vec![1, 2, 3, 0x80] };
            for flip in flips {
                let mut file = file.clone();
                file[at] ^= flip;
                assert_eq!(divided(&file), pieces, "byte {at}");
            }
        }
    }

    /// Of the ordered one not a byte may be right; of its neighbour the salt and the body are.
    #[test]
    fn of_two_side_by_side_the_one_whose_body_is_whole_is_found() {
        let (file, pieces) = file();
        let extent = |piece: &Piece| match piece {
            Piece::Slot(_, extent) | Piece::Gap(_, extent) => extent.clone(),
        };
        let extents: Vec<Range<usize>> = pieces.iter().map(extent).collect();
        // The slot of place 3 is erased: nothing but its head tells of it.
        for (ordered, neighbour) in [(0, 1), (2, 3)] {
            for (at, flip) in [0, 1, 34, 35, 36, 37].into_iter().flat_map(|at| [(at, 0x41), (at, 3), (at, 0x80)]) {
                let mut file = file.clone();
                for byte in &mut file[extents[ordered].clone()] {
                    *byte ^= 0x55;
                }
                file[extents[neighbour].start + at] ^= flip;
                let divided = divided(&file);
                assert!(divided.contains(&pieces[neighbour]), "{ordered} {at}: {divided:?}");
                assert!(divided.contains(&pieces[3]), "{ordered} {at}: {divided:?}");
            }
        }
        // Three of which nothing is right, and the last one found behind them.
        let mut file = file;
        for byte in &mut file[..extents[3].start] {
            *byte ^= 0x55;
        }
        file[extents[3].start] ^= 1;
        let divided = divided(&file);
        assert_eq!(divided.last(), pieces.last(), "{divided:?}");
    }

    #[test]
    fn of_two_damages_no_slot_is_made_up() {
        let (file, pieces) = file();
        let heads = pieces.iter().map(|piece| match piece {
            Piece::Slot(_, extent) | Piece::Gap(_, extent) => extent.start,
        });
        for start in heads {
            for (left, right) in [(0, 36), (1, 40), (37, 10), (36, 37)] {
                let mut file = file.clone();
                file[start + left] ^= 0x41;
                file[start + right] ^= 0x41;
                let divided = divided(&file);
                let ends = divided.iter().map(|piece| match piece {
                    Piece::Slot(_, extent) | Piece::Gap(_, extent) => extent.clone(),
                });
                assert_eq!(ends.clone().map(|extent| extent.len()).sum::<usize>(), file.len());
                let slots = divided.iter().filter(|piece| matches!(piece, Piece::Slot(..)));
                assert!(slots.clone().all(|slot| pieces.contains(slot)), "{start} {left} {right}: {divided:?}");
                assert!(slots.count() >= 3);
            }
        }
    }
}
