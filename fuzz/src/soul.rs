//! Targets of links, bodies, canonical JSON, trailers and records.

use soulchain::encoding::{UnixMillis, hex_decode};
use soulchain::merkle::LeafIndex;
use soulchain::registry::Record;
use soulchain::soul::jcs::Value;
use soulchain::soul::{Body, LINK_ENTRY_KIND, Link, LinkType, ReadLink, Trailer};

/// Entries of links, one of each type and shape: hex, one a line.
const LINKS: &str = include_str!("../seeds/links.hex");
/// Records with different members, one a line.
const RECORDS: &str = include_str!("../seeds/records.jsonl");

/// The parts of a link make the same link, and its header the same bytes.
pub fn link(data: &[u8]) -> bool {
    let Ok(link) = Link::parse_entry(data) else { return false };
    assert_eq!(link.entry(), data);
    assert_eq!(link.header().to_bytes(), link.message());
    let written = [&[LINK_ENTRY_KIND][..], link.message(), link.sig(), link.body().unwrap_or_default()].concat();
    assert_eq!(written, data);
    let (again, beside) = Link::from_parts(link.message(), link.sig(), link.body(), None).expect("the same parts");
    assert!(again == link && beside.is_none());
    let log_id = link.header().log_id;
    if let Ok(read) = ReadLink::read(link, None, log_id) {
        let _ = read.named_signer();
    }
    true
}

pub fn links() -> Vec<Vec<u8>> {
    LINKS.lines().map(|line| hex_decode(line).expect("hex")).collect()
}

/// `type u16 ‖ body`.
pub fn body(data: &[u8]) -> bool {
    let Some((code, bytes)) = data.split_first_chunk() else { return false };
    let Some(link_type) = LinkType::from_code(u16::from_be_bytes(*code)) else { return false };
    let Ok(body) = Body::parse(link_type, Some(bytes)) else { return false };
    assert_eq!(body.to_bytes().as_deref(), Some(bytes));
    true
}

pub fn bodies() -> Vec<Vec<u8>> {
    let links = links();
    let links = links.iter().map(|entry| Link::parse_entry(entry).expect("a link"));
    links.filter_map(|link| Some([&link.header().link_type.code().to_be_bytes(), link.body()?].concat())).collect()
}

pub fn jcs(data: &[u8]) -> bool {
    let Ok(value) = Value::parse_canonical(data) else { return false };
    assert_eq!(value.to_bytes(), data);
    true
}

pub fn values() -> Vec<Vec<u8>> {
    let more: [&[u8]; 3] = [
        b"{}",
        br#"{"a":[null,true,false,-9007199254740991,9007199254740991,0],"b":{"c":[[[[{}]]]]}}"#,
        "{\"s\":\"\\u0000\\b\\t\\n\\f\\r\\u001f\\\"\\\\/é\u{7f}\u{2028}\u{1f600}\"}".as_bytes(),
    ];
    bodies().into_iter().map(|body| body[2..].to_vec()).chain(more.map(Into::into)).collect()
}

pub fn trailer(data: &[u8]) -> bool {
    let Some(trailer) = Trailer::parse(data) else { return false };
    assert_eq!(trailer.to_bytes(), data);
    true
}

pub fn trailers() -> Vec<Vec<u8>> {
    let trailer = |covers, identities| Trailer {
        covers: LeafIndex::new(covers),
        map_root: [7; 32],
        identities,
        log_time: UnixMillis::new(1_700_000_000_000),
    };
    vec![trailer(1, 1).to_bytes().into(), trailer((1 << 53) - 1, 0).to_bytes().into()]
}

pub fn record(data: &[u8]) -> bool {
    let Ok(record) = Record::parse(data) else { return false };
    assert_eq!(record.to_bytes(), data);
    true
}

pub fn records() -> Vec<Vec<u8>> {
    RECORDS.lines().map(|line| line.as_bytes().to_vec()).collect()
}
