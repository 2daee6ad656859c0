//! Links of the last batches, for links that were resolved before these were sealed.
//!
//! They are those that the registry held in the batch anyway, so that keeping them costs a move. Bounded in batches and
//! in links; [`Recent::reaches`] says whether the bound has been met.

use std::collections::{HashMap, VecDeque};

use crate::encoding::UnixMillis;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::PastLink;
use crate::soul::{Identity, Seqno};

/// Batches that are kept: with the least gap between batches, time enough for a handler.
const MAX_BATCHES: usize = 64;
/// Links in them.
const MAX_LINKS: usize = 1 << 17;

/// The last batches, oldest first, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    batches: VecDeque<Sealed>,
    links: usize,
}

#[derive(Debug)]
struct Sealed {
    /// Sizes of the log before and after.
    start: TreeSize,
    end: TreeSize,
    log_time: UnixMillis,
    /// The seqno of the last of these links of a chain, and the links.
    chains: HashMap<Identity, (Seqno, Vec<PastLink>)>,
    links: usize,
}

impl Recent {
    /// Takes the links of a batch, from one size of the log to the next.
    pub(crate) fn push(
        &mut self,
        (start, end): (TreeSize, TreeSize),
        log_time: UnixMillis,
        links: Vec<(Identity, Seqno, Vec<PastLink>)>,
    ) {
        let count = links.iter().map(|(_, _, links)| links.len()).sum();
        let chains = links.into_iter().map(|(identity, last, links)| (identity, (last, links))).collect();
        self.batches.push_back(Sealed { start, end, log_time, chains, links: count });
        self.links += count;
        while self.batches.len() > MAX_BATCHES || (self.links > MAX_LINKS && self.batches.len() > 1) {
            self.links -= self.batches.pop_front().map_or(0, |oldest| oldest.links);
        }
    }

    /// Whether every link after this size is here.
    pub(crate) fn reaches(&self, size: TreeSize) -> bool {
        self.batches.front().is_none_or(|oldest| oldest.start <= size)
    }

    /// The link at a place of a chain, if it is one of these.
    pub(crate) fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.batches.iter().rev().find_map(|batch| {
            let (last, links) = batch.chains.get(identity)?;
            let back = usize::try_from(last.get().checked_sub(seqno.get())?).ok()?;
            links.get(links.len().checked_sub(back + 1)?).copied()
        })
    }

    /// Log time of the batch in which an entry is.
    pub(crate) fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        let at = self.batches.partition_point(|batch| batch.end.get() <= index.get());
        self.batches.get(at).filter(|batch| batch.start.get() <= index.get()).map(|batch| batch.log_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Said;
    use crate::soul::Curr;

    fn link(index: u64) -> PastLink {
        PastLink { curr: Curr::from_bytes([index as u8; 32]), index: LeafIndex::new(index), said: Said::Action }
    }

    #[test]
    fn what_is_kept_is_found_and_its_end_is_known() {
        let mut recent = Recent::default();
        assert!(recent.reaches(TreeSize::ZERO));
        let ids = [1, 2, 3].map(|byte| Identity::from_bytes([byte; 32]));
        // Each batch holds two links of one chain and one of another, then a trailer.
        let mut naive: Vec<(Identity, u64, u64, u64)> = Vec::new();
        let mut seqnos = HashMap::from(ids.map(|id| (id, 0_u64)));
        for batch in 0..200_u64 {
            let (start, who) = (batch * 4, (batch % 3) as usize);
            let (twice, once) = (ids[who], ids[(who + 1) % 3]);
            let mut links = Vec::new();
            for (id, indexes) in [(twice, vec![start, start + 2]), (once, vec![start + 1])] {
                for index in &indexes {
                    *seqnos.get_mut(&id).unwrap() += 1;
                    naive.push((id, seqnos[&id], *index, batch));
                }
                links.push((id, Seqno::new(seqnos[&id]), indexes.into_iter().map(link).collect()));
            }
            let sizes = (TreeSize::new(start), TreeSize::new(start + 4));
            recent.push(sizes, UnixMillis::new(1_000 + batch), links);
            let kept = batch.saturating_sub(MAX_BATCHES as u64 - 1);
            assert!(recent.reaches(TreeSize::new(kept * 4)));
            assert_eq!(recent.reaches(TreeSize::new((kept * 4).saturating_sub(1))), kept == 0);
            for (id, seqno, index, in_batch) in &naive {
                let found = recent.link_at(id, Seqno::new(*seqno)).map(|link| link.index.get());
                assert_eq!(found, (*in_batch >= kept).then_some(*index), "{seqno} after {batch}");
                let time = recent.time_after(LeafIndex::new(*index)).map(UnixMillis::get);
                assert_eq!(time, (*in_batch >= kept).then_some(1_000 + in_batch));
            }
            assert_eq!(recent.link_at(&ids[who], Seqno::new(seqnos[&ids[who]] + 1)), None);
            assert_eq!(recent.time_after(LeafIndex::new(start + 4)), None);
        }
    }

    #[test]
    fn many_links_push_out_older_batches() {
        let mut recent = Recent::default();
        let id = Identity::from_bytes([1; 32]);
        for batch in 0..3_u64 {
            let links = vec![link(batch); MAX_LINKS / 2];
            let last = Seqno::new((batch + 1) * links.len() as u64);
            recent.push((TreeSize::new(batch), TreeSize::new(batch + 1)), UnixMillis::new(1), vec![(id, last, links)]);
        }
        assert!(!recent.reaches(TreeSize::ZERO) && recent.reaches(TreeSize::new(1)));
        assert!(recent.links <= MAX_LINKS);
    }
}
