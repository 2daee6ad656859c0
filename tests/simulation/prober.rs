//! A byzantine log that tries its witnesses out: old sizes, proofs and checkpoints of either history, in any mixture.

use std::sync::Arc;

use soulchain::merkle::TreeSize;
use soulchain::tlog::AddCheckpointRequest;
use soulchain::witness::Transport as _;

use crate::history::History;
use crate::net::{Ctx, Party, Slot};
use crate::node::Node;
use crate::operator::signed;
use crate::random::Random;
use crate::shown::Operator;
use crate::witness::{Host, Remote};

/// Sends requests for ever.
pub(crate) async fn run(ctx: Ctx, operator: Operator, witnesses: Vec<Host>) {
    let mut random = ctx.random("prober");
    loop {
        ctx.sleep(Slot::Own(Party::Prober), random.within(200, 4_000)).await;
        let histories: Vec<_> = operator.nodes.iter().map(Node::history).collect();
        let witness = random.below(witnesses.len() as u64) as usize;
        let request = drawn(&ctx, &mut random, &histories, witness);
        let remote = Remote { host: witnesses[witness].clone(), from: Party::Prober };
        let _ = remote.add_checkpoint(request.to_string()).await;
    }
}

fn drawn(ctx: &Ctx, random: &mut Random, histories: &[Arc<History>], witness: usize) -> AddCheckpointRequest {
    let any = |random: &mut Random| {
        let history = &histories[random.below(histories.len() as u64) as usize];
        let all = history.word.len();
        let batches = if random.permille(500) { all } else { random.below(all as u64 + 1) as usize };
        History::of(&history.word[..batches])
    };
    let (offered, proving) = (any(random), any(random));
    ctx.judge().signs(&offered);
    let size = offered.size();
    let known = ctx.judge().last_of(witness).map_or(0, |last| last.0);
    let old = random.pick(&[0, known, known, known, size, proving.size()]).min(size);
    let proof_of = if random.permille(500) { &offered } else { &proving };
    let proof_size = if size <= proof_of.size() { size } else { proof_of.size() };
    let proof = proof_of.consistency(old.min(proof_size), proof_size);
    AddCheckpointRequest::new(TreeSize::new(old), proof, signed(&offered)).unwrap()
}
