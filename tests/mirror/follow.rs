//! The engine as it follows: what it takes, and what it refuses.

use bytes::Bytes;
use soulchain::log::{
    Directory, Entry, ExtendError, Following, LogView, Opaque, OpaqueGroup, Options, OriginFile, SubmitError, follow,
};
use soulchain::merkle::TreeSize;
use tempfile::TempDir;

use crate::log::{Tree, entry};

fn open(dir: &TempDir) -> Following<Opaque> {
    let path = dir.path().join("log");
    if !Directory::exists(&path) {
        let origin = OriginFile { v: 1, origin: "plain.example/log".to_owned(), vkeys: Vec::new() };
        Directory::create(&path, &origin, |_| Ok(())).unwrap();
    }
    let directory = Directory::open(&path).unwrap();
    let (following, _) = follow(Opaque, directory.storage().unwrap(), Options::default()).unwrap();
    following.engine().keep(Box::new(directory));
    following
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|index| Entry::new(Bytes::from(entry(index, "a"))).unwrap()).collect()
}

#[test]
fn runs_go_on_where_the_log_ends() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::new(2_000, "a");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = open(&dir);
    let extend = |log: &Following<Opaque>, range: std::ops::Range<u64>| {
        runtime.block_on(log.extend(TreeSize::new(range.start), entries(range)))
    };
    let view = extend(&log, 0..700).unwrap();
    assert_eq!((view.size().get(), view.root()), (700, tree.root(700)));
    assert!(view.checkpoint().is_empty(), "nothing is signed");
    for start in [0, 699, 701] {
        let refused = extend(&log, start..start + 10);
        assert!(matches!(refused, Err(ExtendError::NotNext { size }) if size.get() == 700), "{start}");
    }
    let too_long = vec![Entry::new(Bytes::from(vec![1; 60_000])).unwrap(); 300];
    let refused = runtime.block_on(log.extend(TreeSize::new(700), too_long.clone()));
    assert!(matches!(refused, Err(ExtendError::TooLarge)));
    // What is longer than a run is cut where a batch may end.
    let len = Following::<Opaque>::run_len(&too_long).unwrap().unwrap();
    assert!(len < 300 && len > 250, "{len}");
    assert_eq!(Following::<Opaque>::run_len(&[]).unwrap(), None);
    // It takes no groups.
    let group = OpaqueGroup::new(vec![Bytes::from_static(b"x")]).unwrap();
    assert!(matches!(log.engine().submit(group), Err(SubmitError::Held)));
    // A publication is what was given, and lasts.
    let note = b"a note of another".to_vec();
    runtime.block_on(log.publish((TreeSize::new(700), tree.root(700)), (), note.clone())).unwrap();
    extend(&log, 700..2_000).unwrap();
    log.engine().close();
    assert!(matches!(extend(&log, 2_000..2_001), Err(ExtendError::Stopped)));
    drop(log);
    let log = open(&dir);
    let view = log.engine().view();
    assert_eq!((LogView::size(&view).get(), view.root()), (2_000, tree.root(2_000)));
    assert_eq!(*log.engine().published().unwrap().note, *note);
    log.engine().close();
}
