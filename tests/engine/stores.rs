//! The stores of views: one contract, one test, each store.

use soulchain::merkle::TreeSize;
use soulchain::storage::{FjallViews, MemoryViews, ViewBatch, Views};

fn batch(applied: u64, changes: &[(&str, Option<&str>)]) -> ViewBatch {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let changes = changes.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect();
    ViewBatch { changes, applied: TreeSize::new(applied) }
}

fn all(views: &dyn Views, prefix: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    views
        .scan(prefix.as_bytes(), &mut |key, value| {
            found.push((text(key), text(value)));
            Ok(())
        })
        .unwrap();
    found
}

fn pairs(expect: &[(&str, &str)]) -> Vec<(String, String)> {
    expect.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// `open` opens the store anew, with what it held.
fn check_store(mut open: impl FnMut() -> Box<dyn Views>) {
    let views = open();
    assert_eq!(views.state().unwrap(), None);
    assert_eq!(all(&*views, ""), []);
    views.write(&batch(5, &[("a1", Some("x")), ("a2", Some("y")), ("b", Some("")), ("c", None)])).unwrap();
    assert_eq!(views.state().unwrap(), Some(TreeSize::new(5)));
    assert_eq!(all(&*views, "a"), pairs(&[("a1", "x"), ("a2", "y")]));
    // What is written twice in one batch has its last value.
    views
        .write(&batch(9, &[("a1", None), ("a2", Some("z")), ("a0", Some("0")), ("d", Some("1")), ("d", None)]))
        .unwrap();
    let now = pairs(&[("a0", "0"), ("a2", "z"), ("b", "")]);
    assert_eq!(all(&*views, ""), now, "in order, and without what the store keeps for itself");
    assert_eq!(views.read(b"a2").unwrap().as_deref(), Some(&b"z"[..]));
    assert_eq!(views.read(b"a1").unwrap(), None);
    drop(views);
    let views = open();
    assert_eq!((views.state().unwrap(), all(&*views, "")), (Some(TreeSize::new(9)), now));
    // A flush of many.
    let many: Vec<(String, String)> = (0..1234).map(|n| (format!("m{n:04}"), format!("{n}"))).collect();
    let changes: Vec<(&str, Option<&str>)> = many.iter().map(|(key, value)| (&**key, Some(&**value))).collect();
    views.write(&batch(2000, &changes)).unwrap();
    assert_eq!(all(&*views, "m"), many);
    // A visitor that fails ends the visit with its error.
    let mut count = 0;
    let stop = views.scan(b"m", &mut |_, _| {
        count += 1;
        Err(soulchain::storage::StorageError::Views("stop".into()))
    });
    assert!(stop.is_err() && count == 1);
    views.clear().unwrap();
    assert_eq!((views.state().unwrap(), all(&*views, "")), (None, Vec::new()));
    views.write(&batch(1, &[("a", Some("b"))])).unwrap();
    drop(views);
    let views = open();
    assert_eq!((views.state().unwrap(), all(&*views, "")), (Some(TreeSize::new(1)), pairs(&[("a", "b")])));
}

#[test]
fn memory() {
    struct Shared(std::sync::Arc<MemoryViews>);
    impl Views for Shared {
        fn state(&self) -> Result<Option<TreeSize>, soulchain::storage::StorageError> {
            self.0.state()
        }
        fn write(&self, batch: &ViewBatch) -> Result<(), soulchain::storage::StorageError> {
            self.0.write(batch)
        }
        fn scan(
            &self,
            prefix: &[u8],
            visit: &mut soulchain::storage::Visit<'_>,
        ) -> Result<(), soulchain::storage::StorageError> {
            self.0.scan(prefix, visit)
        }
        fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, soulchain::storage::StorageError> {
            self.0.read(key)
        }
        fn clear(&self) -> Result<(), soulchain::storage::StorageError> {
            self.0.clear()
        }
    }
    let views = std::sync::Arc::new(MemoryViews::default());
    check_store(|| Box::new(Shared(views.clone())));
}

#[test]
fn fjall() {
    let directory = tempfile::tempdir().unwrap();
    check_store(|| Box::new(FjallViews::open(directory.path()).unwrap()));
}

#[cfg(feature = "sled")]
#[test]
fn sled() {
    let directory = tempfile::tempdir().unwrap();
    check_store(|| Box::new(soulchain::storage::SledViews::open(directory.path()).unwrap()));
}

/// What a flush that broke off leaves in a store without atomic batches.
#[cfg(feature = "sled")]
#[test]
fn sled_says_that_it_is_incomplete() {
    let directory = tempfile::tempdir().unwrap();
    let views = soulchain::storage::SledViews::open(directory.path()).unwrap();
    views.write(&batch(5, &[("a", Some("b"))])).unwrap();
    drop(views);
    let database = sled::open(directory.path()).unwrap();
    database.insert(b"\0flushing", b"").unwrap();
    drop(database);
    let views = soulchain::storage::SledViews::open(directory.path()).unwrap();
    assert_eq!(views.state().unwrap(), None);
    views.clear().unwrap();
    views.write(&batch(6, &[])).unwrap();
    assert_eq!(views.state().unwrap(), Some(TreeSize::new(6)));
}
