//! What C2SP tlog-mirror asks of a mirror: for each MUST a test that names it, over HTTP.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use soulchain::keyfile::KeyAlg;
use soulchain::merkle::{EMPTY_ROOT, TreeSize};
use soulchain::mirror::{MAX_EXCESS_ENTRIES, MAX_PENDING};
use soulchain::tlog::{
    AddEntriesHeader, Checkpoint, MirrorInfo, Origin, SignedCheckpoint, TILE_WIDTH, parse_signature_lines,
};

use crate::log::{Copy, Log, ORIGIN, Tree, header, read, sign, signer, text};
use crate::support::Answer;

/// A log of which nothing is shown: clients bring it to the mirror.
fn world(size: u64) -> (Log, Copy) {
    let log = Log::start(Tree::new(size, "a"), 0);
    let copy = Copy::of(&log);
    (log, copy)
}

#[track_caller]
fn status(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", text(answer));
}

fn content_type(answer: &Answer) -> &str {
    &answer.headers.iter().find(|(name, _)| name == "content-type").unwrap().1
}

/// Where the mirror says that it stands, in an answer of this status.
#[track_caller]
fn info(answer: &Answer, status: u16) -> (u64, u64) {
    assert_eq!(answer.status, status, "{}", text(answer));
    assert_eq!(content_type(answer), "text/x.tlog.mirror-info");
    let info = MirrorInfo::parse(&answer.body).unwrap();
    (info.tree_size().get(), info.next_entry().get())
}

/// An answer 200: signature lines by the mirror's key on the checkpoint of this size.
#[track_caller]
fn cosigned(copy: &Copy, log: &Log, answer: &Answer, size: u64) {
    assert_eq!(answer.status, 200, "{}", text(answer));
    let lines = parse_signature_lines(&answer.body).unwrap();
    let mut checkpoint = log.checkpoint(size);
    for line in lines {
        assert_eq!(line.name(), copy.key().vkey().name());
        checkpoint.add_signature(line).unwrap();
    }
    checkpoint.note().verify([&copy.key()]).unwrap();
    let served = copy.served();
    assert_eq!(served.claim(), checkpoint.claim());
    assert!(copy.size() >= size);
}

/// "The mirror maintains a copy of each origin log and serves it publicly via the tiled transparency log interface": under
/// `<monitoring prefix>/<origin hash>`, and "the checkpoint served from this prefix MUST include a cosignature".
#[test]
fn the_copy_is_served_below_the_hash_of_its_origin_and_cosigned() {
    let (log, copy) = world(700);
    let prefix = format!("/{}", Origin::parse(ORIGIN).unwrap().hash_hex());
    status(&copy.get(&format!("{prefix}/checkpoint")), 404);
    copy.pend(&log, 0, 700);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 700)), 700);
    for path in ["tile/entries/000", "tile/entries/002.p/188", "tile/0/001", "tile/1/000.p/2"] {
        let answer = copy.get(&format!("{prefix}/{path}"));
        status(&answer, 200);
        assert_eq!(answer.body, copy.get(&format!("/{path}")).body);
    }
    let other = format!("/{}/checkpoint", Origin::parse("other.example").unwrap().hash_hex());
    status(&copy.get(&other), 404);
}

/// "The request is handled identically to that of a witness": each status of `add-checkpoint`.
#[test]
fn add_checkpoint_is_answered_as_by_a_witness() {
    let (log, copy) = world(600);
    let tree = log.tree();
    let post = |body: &str| copy.send("POST", "/add-checkpoint", "", body.as_bytes());
    for malformed in ["", "old 0\n", "old x\n\nnote", "old 00\n\n", "\u{0}"] {
        status(&post(malformed), 400);
    }
    status(&post(&format!("old 601\n\n{}", log.checkpoint(600))), 400);
    let stranger = sign_as("other.example/log");
    status(&post(&format!("old 0\n\n{stranger}")), 404);
    status(&copy.add_checkpoint(0, Vec::new(), &sign(&signer(2), 300, tree.root(300))), 403);
    // A proof from nothing.
    status(&copy.add_checkpoint(0, vec![tree.root(1)], &log.checkpoint(300)), 422);
    let empty = log.checkpoint(0);
    status(&post(&format!("old 0\n\n{}", empty.to_string().replace("47DEQpj8", "57DEQpj8"))), 422);
    let behind = copy.add_checkpoint(7, tree.consistency(7, 300), &log.checkpoint(300));
    status(&behind, 409);
    assert_eq!((content_type(&behind), &behind.body[..]), ("text/x.tlog.size", &b"0\n"[..]));
    copy.pend(&log, 0, 300);
    let behind = copy.add_checkpoint(0, Vec::new(), &log.checkpoint(600));
    status(&behind, 409);
    assert_eq!(behind.body, b"300\n");
    status(&copy.add_checkpoint(300, tree.consistency(299, 600), &log.checkpoint(600)), 422);
    let other = Tree::new(600, "b");
    status(&copy.add_checkpoint(300, other.consistency(300, 600), &sign(&log.signer, 600, other.root(600))), 422);
    status(&copy.add_checkpoint(300, Vec::new(), &sign(&log.signer, 300, other.root(300))), 422);
    let again = copy.add_checkpoint(300, Vec::new(), &log.checkpoint(300));
    status(&again, 200);
    assert!(again.body.is_empty());
    copy.pend(&log, 300, 600);
    status(&copy.send("GET", "/add-checkpoint", "", b""), 405);
}

fn sign_as(origin: &str) -> String {
    let checkpoint = Checkpoint::new(Origin::parse(origin).unwrap(), TreeSize::ZERO, EMPTY_ROOT).unwrap();
    let name = soulchain::tlog::KeyName::parse(origin).unwrap();
    let signer = soulchain::tlog::Ed25519Signer::from_seed(name, &[9; 32]);
    soulchain::tlog::sign_checkpoint(&checkpoint, &signer).unwrap().to_string()
}

/// "The mirror cosigner MUST NOT sign the checkpoint in this process", and "MUST retain the log's signature in the pending
/// checkpoint", across a restart.
#[test]
fn a_pending_checkpoint_is_kept_with_the_logs_signature_and_not_cosigned() {
    let (log, copy) = world(300);
    copy.pend(&log, 0, 300);
    assert!(copy.mirror.mirrored().is_none());
    let dir = copy.stop();
    let kept = std::fs::read(dir.path().join("mirror/mirror/pending")).unwrap();
    assert_eq!(SignedCheckpoint::parse(&kept).unwrap(), log.checkpoint(300));
    let copy = Copy::open(dir, &log);
    let conflict = copy.add_checkpoint(0, Vec::new(), &log.checkpoint(300));
    assert_eq!((conflict.status, &conflict.body[..]), (409, &b"300\n"[..]));
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 300)), 300);
    // The cosigned checkpoint has both, and lasts too.
    let copy = Copy::open(copy.stop(), &log);
    assert_eq!((copy.served().claim().size().get(), copy.size()), (300, 300));
}

/// "If `log_origin` is not a known log, the mirror MUST respond with 404."
#[test]
fn an_unknown_log_is_404() {
    let (log, copy) = world(10);
    copy.pend(&log, 0, 10);
    status(&copy.add_entries(&header("other.example/log", 0, 10).to_bytes()), 404);
    let mut no_name = header(ORIGIN, 0, 10).to_bytes();
    no_name[4] = b' ';
    status(&copy.add_entries(&no_name), 404);
}

/// "If the mirror has never received a pending checkpoint signed by the log, the mirror MUST respond with 422."
#[test]
fn an_upload_before_any_checkpoint_is_422() {
    let (log, copy) = world(10);
    status(&copy.add_entries(&log.tree().upload(0, 10)), 422);
}

/// "If `upload_end` is neither a known pending checkpoint value nor the mirror checkpoint's tree size … 409", "If
/// `upload_end` is less than the mirror checkpoint's tree size … 409", "If `upload_start` is greater than the mirror's next
/// entry … 409", "If `excess_entries` is too large … 409"; the body is three lines of `text/x.tlog.mirror-info`.
#[test]
fn an_upload_that_does_not_fit_is_409_and_says_what_would() {
    let excess = MAX_EXCESS_ENTRIES + 300;
    let (log, copy) = world(excess);
    copy.pend(&log, 0, 300);
    let at = |start, end| copy.add_entries(&header(ORIGIN, start, end).to_bytes());
    assert_eq!(info(&at(0, 299), 409), (300, 0));
    assert_eq!(info(&at(1, 300), 409), (300, 0));
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 300)), 300);
    assert_eq!(info(&at(0, 301), 409), (300, 300));
    copy.pend(&log, 300, excess);
    // The one before is still known while nothing larger is mirrored.
    assert_eq!(info(&at(301, 400), 409), (excess, 300));
    assert_eq!(info(&at(301, excess), 409), (excess, 300));
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(300, excess)), excess);
    assert_eq!(info(&at(0, 300), 409), (excess, excess));
    assert_eq!(info(&at(299, excess), 409), (excess, excess), "excess");
    status(&at(300, excess), 400);
    let answer = at(0, 300);
    assert_eq!(answer.body.split_inclusive(|byte| *byte == b'\n').count(), 3);
}

/// "For each entry package, it MUST authenticate the entries by verifying the subtree consistency proof … If this
/// verification process fails, it MUST respond with 422 and end processing."
#[test]
fn a_package_that_is_not_proven_is_422_and_nothing_of_it_is_kept() {
    let (log, copy) = world(900);
    let tree = log.tree();
    copy.pend(&log, 0, 900);
    let other = Tree::new(900, "b");
    status(&copy.add_entries(&other.upload(0, 900)), 422);
    assert_eq!(copy.size(), 0);
    let whole = tree.upload(0, 900);
    let head = header(ORIGIN, 0, 900).to_bytes().len();
    let first = tree.upload_some(0, 900, 1).len();
    // An entry's bytes, and the proof's hashes: of the first package and of the second.
    for (at, kept) in [(head + 2, 0), (first - 1, 0), (first - 300, 0), (first + 2, 256), (first + 4000, 256)] {
        let (log, copy) = world(900);
        copy.pend(&log, 0, 900);
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        status(&copy.add_entries(&flipped), 422);
        assert_eq!((copy.size(), copy.root()), (kept, tree.root(kept)), "{at}");
        assert!(copy.mirror.mirrored().is_none());
    }
    // Packages that start in the middle of a bundle are proven with what is there.
    status(&copy.add_entries(&tree.upload_some(0, 900, 1)), 202);
    cosigned(&copy, &log, &copy.add_entries(&tree.upload(100, 900)), 900);
    assert_eq!(copy.root(), tree.root(900));
}

/// "If at least one entry package was authenticated and saved, but the mirror has not yet received all packages … the
/// mirror MUST respond with 202 carrying the advanced next entry"; "the mirror discards any partial bytes after the last
/// successfully authenticated entry package"; "if the canonical sequence is not empty, and no entry package was
/// authenticated and saved before the body ended … 400".
#[test]
fn an_upload_that_ends_early_is_202_or_400() {
    let (log, copy) = world(900);
    let tree = log.tree();
    copy.pend(&log, 0, 900);
    let first = tree.upload_some(0, 900, 1);
    for len in [0, 1, 5, header(ORIGIN, 0, 900).to_bytes().len(), first.len() - 1] {
        status(&copy.add_entries(&first[..len]), 400);
        assert_eq!(copy.size(), 0);
    }
    assert_eq!(info(&copy.add_entries(&first), 202), (900, 256));
    let second = tree.upload_some(256, 900, 2);
    assert_eq!(info(&copy.add_entries(&second[..second.len() - 1]), 202), (900, 512));
    assert_eq!((copy.size(), copy.root()), (512, tree.root(512)));
    // Malformed bytes behind a package that was saved.
    let mut third = tree.upload_some(512, 900, 1);
    third.extend([0, 0, 0, 0]);
    assert_eq!(info(&copy.add_entries(&third), 202), (900, 768));
    assert!(copy.mirror.mirrored().is_none(), "nothing is cosigned before all of it is there");
    cosigned(&copy, &log, &copy.add_entries(&tree.upload(768, 900)), 900);
}

/// An upload whose connection breaks keeps what was authenticated: "clients and mirrors MUST continue operating correctly
/// if an `add-entries` stream is interrupted".
#[test]
fn an_upload_that_is_interrupted_keeps_what_came_before() {
    let (log, copy) = world(900);
    let tree = log.tree();
    copy.pend(&log, 0, 900);
    let whole = tree.upload(0, 900);
    let part = tree.upload_some(0, 900, 2).len() + 100;
    let head = format!(
        "POST /add-entries HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n\
         content-length: {}\r\n\r\n",
        whole.len()
    );
    let mut stream = copy.begin(&head);
    stream.write_all(&whole[..part]).unwrap();
    // Another client is not held up by one that pauses.
    let started = std::time::Instant::now();
    while copy.size() < 512 {
        assert!(started.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    cosigned(&copy, &log, &copy.add_entries(&tree.upload(512, 900)), 900);
    // And the one that paused goes on: "if some entry has already been written … the mirror MUST skip saving that entry".
    stream.write_all(&whole[part..]).unwrap();
    cosigned(&copy, &log, &read(&mut stream), 900);
    assert_eq!((copy.size(), copy.root()), (900, tree.root(900)));
    // A connection that breaks.
    let (log, copy) = world(900);
    copy.pend(&log, 0, 900);
    let mut stream = copy.begin(&head);
    stream.write_all(&whole[..part]).unwrap();
    drop(stream);
    let started = std::time::Instant::now();
    while copy.size() < 512 {
        assert!(started.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(info(&copy.add_entries(&header(ORIGIN, 513, 900).to_bytes()), 409), (900, 512));
}

/// "Mirrors MUST support receiving `Content-Encoding: gzip`."
#[test]
fn gzip_is_unpacked() {
    let (log, copy) = world(2_000);
    copy.pend(&log, 0, 2_000);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&log.tree().upload(0, 2_000)).unwrap();
    let packed = gzip.finish().unwrap();
    let headers = "content-type: application/octet-stream\r\ncontent-encoding: gzip\r\n";
    let cut = copy.send("POST", "/add-entries", headers, &packed[..packed.len() / 2]);
    let (_, next) = info(&cut, 202);
    assert!(next > 0 && next < 2_000 && next.is_multiple_of(256), "{next}");
    cosigned(&copy, &log, &copy.send("POST", "/add-entries", headers, &packed), 2_000);
    assert!(cut.headers.iter().any(|(name, value)| name == "accept-encoding" && value.contains("gzip")));
    status(&copy.send("POST", "/add-entries", headers, b"no gzip"), 400);
    let other = "content-type: application/octet-stream\r\ncontent-encoding: br\r\n";
    status(&copy.send("POST", "/add-entries", other, b""), 415);
    // "The request body MUST have `Content-Type` of `application/octet-stream`."
    status(&copy.send("POST", "/add-entries", "content-type: text/plain\r\n", b""), 415);
}

/// "`upload_start` MUST be less or equal to `upload_end`": where they are equal there is nothing to send, and the answer is
/// a cosignature.
#[test]
fn an_empty_upload_is_answered_by_what_is_there() {
    let (log, copy) = world(300);
    copy.pend(&log, 0, 0);
    copy.pend(&log, 0, 300);
    let mut reversed = header(ORIGIN, 300, 300).to_bytes();
    let at = reversed.len() - 2 - 8 - 1;
    reversed[at] += 1;
    assert!(AddEntriesHeader::parse(&reversed).is_err());
    status(&copy.add_entries(&reversed), 400);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 300)), 300);
    let first = copy.served();
    cosigned(&copy, &log, &copy.add_entries(&header(ORIGIN, 300, 300).to_bytes()), 300);
    assert_eq!(copy.served(), first, "it is not signed again");
}

/// "Mirrors SHOULD accept any of the last several pending checkpoint values as `upload_end`."
#[test]
fn past_pending_checkpoints_are_known_for_a_while() {
    let size = 20 * MAX_PENDING as u64;
    let (log, copy) = world(size);
    let mut old = 0;
    for step in 1..=MAX_PENDING as u64 + 1 {
        copy.pend(&log, old, step * 10);
        old = step * 10;
    }
    let forgotten = copy.add_entries(&log.tree().upload(0, 10));
    assert_eq!(info(&forgotten, 409), (old, 0));
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 20)), 20);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(20, 100)), 100);
    // "The mirror MUST NOT rewind the checkpoint."
    assert_eq!(info(&copy.add_entries(&header(ORIGIN, 50, 50).to_bytes()), 409), (old, 100));
    assert_eq!(copy.served().claim().size().get(), 100);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(100, old)), old);
}

/// "A mirror SHOULD permit multiple clients to concurrently send requests", and "MUST correctly handle" entries that
/// another one has added already.
#[test]
fn many_clients_upload_at_once() {
    let (log, copy) = world(3_000);
    let tree = log.tree();
    copy.pend(&log, 0, 2_000);
    copy.pend(&log, 2_000, 3_000);
    let (small, large) = (tree.upload(0, 2_000), tree.upload(0, 3_000));
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (copy, log, small, large) = (&copy, &log, &small, &large);
            scope.spawn(move || {
                if at % 2 == 0 {
                    let answer = copy.add_entries(large);
                    cosigned(copy, log, &answer, 3_000);
                } else {
                    // It is overtaken, or not: then the larger one is mirrored later.
                    let answer = copy.add_entries(small);
                    assert!(matches!(answer.status, 200 | 409), "{}", text(&answer));
                }
            });
        }
    });
    assert_eq!((copy.size(), copy.root()), (3_000, tree.root(3_000)));
    assert_eq!(copy.served().claim().size().get(), 3_000);
}

/// The packages of an upload are those of the spec's formula.
#[test]
fn packages_are_cut_at_multiples_of_256() {
    for (start, end) in [(0, 0), (0, 1), (0, 256), (0, 257), (5, 5), (5, 250), (250, 260), (256, 512), (300, 1_000)] {
        let ranges: Vec<_> = header(ORIGIN, start, end).packages().map(|r| (r.start().get(), r.end().get())).collect();
        let width = u64::from(TILE_WIDTH);
        let (rounded_start, rounded_end) = (start / width * width, end.div_ceil(width) * width);
        let count = if start == end { 0 } else { (rounded_end - rounded_start) / width };
        let formula = |i| (start.max(rounded_start + i * width), end.min(rounded_start + (i + 1) * width));
        assert_eq!(ranges, (0..count).map(formula).collect::<Vec<_>>(), "{start} {end}");
    }
}

/// What clients bring and what the follower fetches are one copy: the log goes on from what was uploaded.
#[test]
fn uploads_and_following_meet() {
    let (log, copy) = world(1_500);
    copy.pend(&log, 0, 700);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 700)), 700);
    assert_eq!(copy.get("/checkpoint").status, 404, "the log has shown nothing");
    log.show(700);
    copy.follower.round().unwrap();
    assert_eq!(copy.get("/checkpoint").body, log.checkpoint(700).to_string().into_bytes());
    log.show(1_000);
    copy.follower.round().unwrap();
    assert_eq!(copy.served().claim().size().get(), 1_000);
    // What the log has shown is pending too.
    assert_eq!(copy.add_checkpoint(700, log.tree().consistency(700, 1_500), &log.checkpoint(1_500)).body, b"1000\n");
    copy.pend(&log, 1_000, 1_500);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(1_000, 1_500)), 1_500);
}

/// The key is an ML-DSA-44 key, if that is wanted; one that is there is used.
#[test]
fn a_mirror_cosigns_with_ml_dsa() {
    let log = Log::start(Tree::new(300, "a"), 0);
    let copy = Copy::with(Arc::new(tempfile::tempdir().unwrap()), &log, KeyAlg::MlDsa44);
    let key = copy.key();
    copy.pend(&log, 0, 300);
    cosigned(&copy, &log, &copy.add_entries(&log.tree().upload(0, 300)), 300);
    let copy = Copy::open(copy.stop(), &log);
    assert_eq!(copy.key(), key);
    assert_eq!(copy.served().claim().size().get(), 300);
}
