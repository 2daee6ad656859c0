//! A mirror of a log of agents whose entries do not keep the rules, and one that is brought its entries.

use std::sync::Arc;

use soulchain::audit::HttpSource;
use soulchain::keyfile::KeyAlg;
use soulchain::log::{Directory, OriginFile};
use soulchain::mirror::{Follower, OpenedMirror, Trouble, Upload, UploadAnswer, open};
use soulchain::soul::TRAILER_ENTRY_KIND;

use crate::log::{Log, ORIGIN, Tree, header, options};

/// Follows a log of agents of these entries for a round.
fn follow(entries: Vec<Vec<u8>>) -> (Arc<tempfile::TempDir>, Trouble, u64) {
    let size = entries.len() as u64;
    let log = Log::start(Tree::of(entries), size);
    let dir = Arc::new(tempfile::tempdir().unwrap());
    // As if the log's node had said that it is one.
    let vkeys = vec![log.signer.vkey().to_string(), crate::log::signer(3).vkey().to_string()];
    let file = OriginFile { v: 1, origin: ORIGIN.to_owned(), vkeys };
    Directory::create(&dir.path().join("mirror"), &file, |_| Ok(())).unwrap();
    let OpenedMirror::Agents(mirror, _) = open(&options(&dir, &log, KeyAlg::Ed25519)).unwrap().mirror else {
        panic!("two keys are a log of agents")
    };
    let follower = Follower::new(mirror.clone(), Box::new(HttpSource::new(&log.url()).unwrap())).unwrap();
    let trouble = follower.round().unwrap_err();
    // It stays so.
    assert_eq!(follower.round().unwrap_err(), trouble);
    let committed = mirror.engine().view().size().get();
    assert!(mirror.engine().published().is_none() && mirror.mirrored().is_none());
    // Nor does an upload get further.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(async {
        let mut upload = Upload::new(mirror.clone());
        upload.push(&log.tree().upload(0, size)).await
    });
    let refused = matches!(answer, Some(UploadAnswer::Failed(_) | UploadAnswer::Conflict(_)));
    assert!(refused, "{answer:?}");
    drop(runtime);
    mirror.engine().close();
    (dir, trouble, committed)
}

#[test]
fn an_entry_that_breaks_the_rules_stops_the_mirror() {
    let mut trailer = vec![TRAILER_ENTRY_KIND];
    trailer.resize(76, 0);
    let (_dir, trouble, committed) = follow(vec![b"no link".to_vec(), trailer]);
    let Trouble::Stopped(why) = trouble else { panic!("{trouble:?}") };
    assert!(why.contains("entry 0 of the log that is followed breaks the rules"), "{why}");
    assert_eq!(committed, 0);
}

#[test]
fn a_batch_without_an_end_stops_the_mirror() {
    let (_dir, trouble, committed) = follow(vec![b"x".to_vec(); 300]);
    assert!(matches!(&trouble, Trouble::Stopped(why) if why.contains("inside one of its batches")), "{trouble:?}");
    assert_eq!(committed, 0);
    // Longer than any batch: what waits is bounded.
    let (_dir, trouble, _) = follow(vec![b"x".to_vec(); 40_000]);
    assert!(matches!(&trouble, Trouble::Stopped(why) if why.contains("than a batch has")), "{trouble:?}");
    assert_eq!(header(ORIGIN, 0, 1).upload_end().get(), 1);
}
