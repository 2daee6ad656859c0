//! Without `--repair` a check writes nothing: no file is made, changed, touched or removed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{agent_log, check_node, flip, flip_middle};

/// Times, mode and bytes of a file or folder.
type Stand = (i64, i64, i64, i64, u32, Vec<u8>);

/// Everything in a directory, folders too.
fn everything(root: &Path) -> BTreeMap<PathBuf, Stand> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::metadata(&path).unwrap();
        let mut bytes = Vec::new();
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            bytes = fs::read(&path).unwrap();
        }
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        found.insert(path, (times.0, times.1, times.2, times.3, meta.mode(), bytes));
    }
    found
}

/// Checks a directory that nobody may write to.
fn check_locked(path: &Path) -> bool {
    let set = |write: bool| {
        for (path, (.., mode, _)) in everything(path) {
            let mode = if write { mode | 0o200 } else { mode & !0o222 };
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7777)).unwrap();
        }
    };
    set(false);
    let before = everything(path);
    let report = check_node(path, false);
    assert!(everything(path) == before, "{:?}", report.findings);
    assert!(report.findings.iter().all(|finding| !finding.what.contains("not checked")), "{:?}", report.findings);
    set(true);
    report.is_clean()
}

#[test]
fn a_check_writes_nothing() {
    let (_folder, path) = agent_log();
    assert!(check_locked(&path));
    flip(&path, "bodies/000", 35);
    flip_middle(&path, "chain.idx");
    flip_middle(&path, "tile/0/000");
    assert!(!check_locked(&path));
}

/// Of the layout before this one all rows are made anew, elsewhere.
#[test]
fn a_check_of_an_older_layout_writes_nothing() {
    let (_folder, path) = agent_log();
    let rows = fs::read(path.join("chain.idx")).unwrap();
    let mut manifest = fs::read(path.join("manifest")).unwrap();
    manifest.truncate(manifest.len() - 32);
    manifest[..20].copy_from_slice(b"soulchain/manifest/1");
    let checksum = blake3::hash(&manifest);
    manifest.extend_from_slice(checksum.as_bytes());
    fs::write(path.join("manifest"), manifest).unwrap();
    fs::write(path.join("chain.idx"), rows.chunks(24).flat_map(|row| row[..16].to_vec()).collect::<Vec<_>>()).unwrap();
    fs::remove_file(path.join("lock")).unwrap();
    assert!(!check_locked(&path));
    assert!(!path.join("chain.idx.new").exists() && !path.join("lock").exists());
    assert!(check_node(&path, true).is_clean());
    assert_eq!(fs::read(path.join("chain.idx")).unwrap(), rows);
    assert!(check_locked(&path));
}

/// The command, with temporary files in this place. Gives whether it succeeded, and what it tells.
fn run(path: &Path, temporary: &Path) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soulchain"));
    let output = command.args(["fsck", "--json"]).arg(path).env("TMPDIR", temporary).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (output.status.success(), report)
}

/// What was not looked at is not called right.
#[test]
fn views_that_there_is_no_room_to_copy_are_not_called_clean() {
    let (folder, path) = agent_log();
    let (room, none) = (folder.path(), folder.path().join("none"));
    let (succeeded, report) = run(&path, room);
    assert!(succeeded && report["clean"] == true && report["findings"] == serde_json::json!([]), "{report}");
    let (succeeded, report) = run(&path, &none);
    let finding = &report["findings"][0];
    assert!(!succeeded && report["clean"] == false, "{report}");
    assert_eq!((&finding["name"], &finding["severity"]), (&"views".into(), &"unchecked".into()));
    assert!(finding["what"].as_str().unwrap().contains("TMPDIR"), "{report}");
    // All else is checked, and a repair needs no copy.
    flip(&path, "bodies/000", 35);
    let (_, report) = run(&path, &none);
    assert!(report["findings"].as_array().unwrap().iter().any(|finding| finding["name"] == "bodies/000"), "{report}");
    flip(&path, "bodies/000", 35);
    // Without views there is nothing to copy.
    fs::rename(path.join("views"), folder.path().join("away")).unwrap();
    let (succeeded, report) = run(&path, &none);
    assert!(succeeded && report["clean"] == true, "{report}");
    // A copy that breaks off half way.
    fs::rename(folder.path().join("away"), path.join("views")).unwrap();
    std::os::unix::fs::symlink("nothing", path.join("views/broken")).unwrap();
    let (succeeded, report) = run(&path, room);
    assert!(!succeeded && report["findings"][0]["severity"] == "unchecked", "{report}");
    let left = fs::read_dir(room).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != *"node");
    assert_eq!(left.count(), 0, "no copy stays");
}
