//! Lists of logs, and their files.

use std::fs;
use std::path::Path;

use soulchain::witness::{LogFiles, LogFilesError, LogList, LogListFault};

use super::log::{TestLog, ml_dsa_key};
use super::server::ed25519_key;

#[test]
fn lines_of_a_list() {
    let (a, b) = (TestLog::new("log.example/a"), TestLog::new("log.example/b"));
    let text = format!("# logs\n\n{}\tlog\t{}   https://b.example/\n{}", a.line(), b.key.vkey(), a.line());
    let list = LogList::parse(text.as_bytes()).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list.keys("log.example/a").unwrap().len(), 1);
    assert!(list.keys("log.example/c").is_none());
    assert!(LogList::parse(b"").unwrap().is_empty());
}

#[test]
fn what_is_no_list_is_refused_with_its_line() {
    let log = TestLog::new("log.example/a");
    let cosigner = ed25519_key();
    let cases: Vec<(String, LogListFault)> = vec![
        ("log".into(), LogListFault::Form),
        ("logs x".into(), LogListFault::Form),
        (format!("{} a b", log.line().trim_end()), LogListFault::Form),
        (format!("witness w {}", log.key.vkey()), LogListFault::Form),
        ("quorum none".into(), LogListFault::Form),
        (format!("{}\r", log.line().trim_end()), LogListFault::Octet),
        (format!("log {}", cosigner.vkey()), LogListFault::KeyType),
    ];
    for (line, fault) in cases {
        let error = LogList::parse(format!("# one\n{}{line}\n", log.line()).as_bytes()).unwrap_err();
        assert_eq!((error.line, error.fault), (3, fault), "{line}");
    }
    let bad = log.line().replacen("log.example/a", "log.example/b", 1);
    assert!(matches!(LogList::parse(bad.as_bytes()).unwrap_err().fault, LogListFault::Key(_)));
    let reserved = TestLog::new("cosignature/v1");
    assert!(matches!(LogList::parse(reserved.line().as_bytes()).unwrap_err().fault, LogListFault::Key(_)));
    let ml_dsa = format!("log {}", ml_dsa_key("log.example/a", "x").vkey());
    assert_eq!(LogList::parse(ml_dsa.as_bytes()).unwrap().len(), 1);
}

#[test]
fn files_are_read_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let (one, many) = (directory.path().join("logs.txt"), directory.path().join("logs.d"));
    let log = |name: &str| TestLog::new(name).line();
    let put = |path: &Path, text: &str| {
        let temporary = directory.path().join("new");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, path).unwrap();
    };
    put(&one, &log("a"));
    fs::create_dir(&many).unwrap();
    let mut files = LogFiles::new(vec![one.clone(), many.clone()]);
    let mut changed = || files.read_if_changed();
    assert_eq!(changed().unwrap().unwrap().len(), 1);
    assert!(changed().unwrap().is_none());
    put(&many.join("b"), &log("b"));
    put(&many.join(".hidden"), "nonsense");
    assert_eq!(changed().unwrap().unwrap().len(), 2);
    put(&one, &format!("{}{}", log("a"), log("c")));
    assert_eq!(changed().unwrap().unwrap().len(), 3);
    // An error is told once a change.
    put(&one, "nonsense");
    assert!(matches!(changed(), Err(LogFilesError::List(path, error)) if path == one && error.line == 1));
    assert!(changed().unwrap().is_none());
    fs::remove_file(&one).unwrap();
    assert!(matches!(changed(), Err(LogFilesError::Io(..))));
    assert!(changed().unwrap().is_none());
    put(&one, &log("a"));
    assert_eq!(changed().unwrap().unwrap().len(), 2);
}
