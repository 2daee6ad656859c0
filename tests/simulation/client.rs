//! Relying parties: they take a checkpoint if it meets their policy, and remember it.

use crate::net::{Ctx, Party, Slot};
use crate::operator::policy;
use crate::shown::Operator;

/// Reads the log for ever.
pub(crate) async fn run(ctx: Ctx, operator: Operator, number: usize) {
    let party = Party::Client(number);
    let mut random = ctx.random(&format!("{party:?}"));
    let policy = policy();
    let mut newest = 0;
    loop {
        ctx.sleep(Slot::Own(party), random.within(500, 3_000)).await;
        let Some(view) = operator.show(party) else { continue };
        // As from the wire.
        let note = soulchain::tlog::SignedCheckpoint::parse(view.note.to_string().as_bytes()).unwrap();
        if let Ok(accepted) = policy.verify_checkpoint(&note) {
            let claim = accepted.verified().checkpoint();
            let tree = (claim.size().get(), claim.root());
            if tree.0 > newest {
                newest = tree.0;
                ctx.trace(format_args!("client {number} accepts {} {}", tree.0, tree.1));
            }
            ctx.judge().accepted(tree);
        }
    }
}
