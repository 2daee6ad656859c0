//! The C2SP routes (tlog-tiles, tlog-checkpoint): what any client of tiled logs asks.

use std::io::Read as _;

use flate2::read::GzDecoder;
use soulchain::merkle::{TreeSize, leaf_hash, root_of_perfect};
use soulchain::tlog::{TileKind, decode_hashes, encode_hashes, parse_bundle, right_edge};

use super::agent::Agent;
use super::support::{Server, hash};

fn large() -> Server {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "tiles");
    for _ in 0..3 {
        server.append(&(0..200).map(|_| agent.empty()).collect::<Vec<_>>());
    }
    server
}

#[test]
fn the_checkpoint_is_fresh_and_has_a_tag() {
    let server = Server::start();
    server.published(3);
    let answer = server.get("/checkpoint");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let tag = answer.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    for seen in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = server.ask("GET", "/checkpoint", &[("if-none-match", &seen)], None);
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(&*tag)), "{seen}");
    }
    Agent::registered(&server, "newer");
    server.published(5);
    let newer = server.ask("GET", "/checkpoint", &[("if-none-match", &tag)], None);
    assert_eq!(newer.status, 200);
    assert_ne!(newer.header("etag"), Some(&*tag));
}

#[test]
fn tiles_of_all_widths_lead_to_the_root() {
    let server = large();
    let (size, root) = server.size_and_root();
    let entries = server.entries();
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(root_of_perfect(&leaves), hash(&root));
    for tile in right_edge(TreeSize::new(size)) {
        assert_eq!(server.get(&format!("/{tile}")).status, 200, "{tile}");
    }
    for width in 1..=256_u64 {
        let end = if width < 256 { format!(".p/{width}") } else { String::new() };
        for index in 0..size / 256 {
            let first = (index * 256) as usize;
            let part = &leaves[first..first + width as usize];
            assert_eq!(server.get(&format!("/tile/0/{index:03}{end}")).body, encode_hashes(part));
        }
    }
    for width in [1, 7, 90] {
        let bundle = server.get(&format!("/tile/entries/002.p/{width}"));
        let held: Vec<_> = parse_bundle(&bundle.body).unwrap().into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(held, entries[512..512 + width]);
    }
    let upper = decode_hashes(&server.get("/tile/1/000.p/2").body, 2).unwrap();
    assert_eq!(upper, [root_of_perfect(&leaves[..256]), root_of_perfect(&leaves[256..512])]);
    let kinds: Vec<_> = right_edge(TreeSize::new(size)).iter().map(soulchain::tlog::TileId::kind).collect();
    assert!(kinds.contains(&TileKind::Hashes(0)) && kinds.contains(&TileKind::Hashes(1)));
    server.audit();
}

#[test]
fn tiles_never_change_and_bundles_can_be_compressed() {
    let server = large();
    for target in ["/tile/0/000", "/tile/1/000.p/1", "/tile/entries/001", "/tile/entries/002.p/9"] {
        let plain = server.get(target);
        assert_eq!((plain.status, plain.header("content-type")), (200, Some("application/octet-stream")));
        let caching = plain.header("cache-control").unwrap();
        assert!(caching.contains("immutable") && caching.contains("max-age=31536000"), "{caching}");
        assert_eq!(plain.header("content-encoding"), None);
        for accepted in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
            let packed = server.ask("GET", target, &[("accept-encoding", accepted)], None);
            if target.contains("entries") {
                assert_eq!(
                    (packed.header("content-encoding"), packed.header("vary")),
                    (Some("gzip"), plain.header("vary"))
                );
                let mut unpacked = Vec::new();
                GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
                assert_eq!(unpacked, plain.body);
            } else {
                assert_eq!((packed.header("content-encoding"), &packed.body), (None, &plain.body));
            }
        }
        for refused in ["br", "gzip;q=0", "gzip; q=0.0", "identity"] {
            let packed = server.ask("GET", target, &[("accept-encoding", refused)], None);
            assert_eq!((packed.header("content-encoding"), &packed.body), (None, &plain.body), "{refused}");
        }
    }
}

#[test]
fn past_the_end_and_beside_the_grammar_there_is_nothing() {
    let server = large();
    let (size, _) = server.size_and_root();
    let last = size % 256;
    let targets = [
        "/tile/0/002".to_owned(),
        format!("/tile/0/002.p/{}", last + 1),
        format!("/tile/entries/002.p/{}", last + 1),
        "/tile/0/003.p/1".into(),
        "/tile/1/000".into(),
        "/tile/1/000.p/3".into(),
        "/tile/2/000.p/1".into(),
        "/tile/0/x001/000".into(),
        "/tile/0/999999999999999999999".into(),
        "/tile/0/2".into(),
        "/tile/0/0002".into(),
        "/tile/0/x000/001".into(),
        "/tile/0/000.p/0".into(),
        "/tile/0/000.p/256".into(),
        "/tile/0/000.p/01".into(),
        "/tile/00/000".into(),
        "/tile/64/000".into(),
        "/tile/-1/000".into(),
        "/tile/entries".into(),
        "/tile/entries/000/".into(),
        "/tile/%00/000".into(),
        "/tile/".into(),
        "/tile".into(),
    ];
    for target in targets {
        server.get(&target).problem(404, "not_found");
    }
}
