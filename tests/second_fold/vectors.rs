//! The second fold against the shared vectors, before it is held against anything else.

use serde_json::Value;

use super::body::{canonical, hex, id};
use super::common::shared;
use super::link::{Id, Trailer, hash};
use super::log::Log;
use super::trees::{log_root, map_root};
use super::verdict::Codes;

fn read(name: &str) -> Option<Value> {
    let Some(path) = shared(&format!("vectors/soulchain/{name}")) else {
        println!("skipped: no shared vectors");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn b64(value: &Value) -> Vec<u8> {
    soulchain::encoding::b64_decode(value.as_str().unwrap()).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    soulchain::encoding::hex_decode(value.as_str().unwrap()).unwrap()
}

fn log_of(origin: &Value) -> Log {
    Log::new(hash(&[origin.as_str().unwrap().as_bytes()]))
}

#[test]
fn a_whole_log_leads_to_its_records_and_roots() {
    let Some(chain) = read("chain.json") else { return };
    let mut log = log_of(&chain["origin"]);
    let mut texts: std::collections::BTreeMap<Id, Vec<u8>> = std::collections::BTreeMap::new();
    for batch in chain["batches"].as_array().unwrap() {
        for entry in batch["entries"].as_array().unwrap() {
            let bytes = b64(&entry["entry"]);
            let clock = batch["log_time_ms"].as_u64().unwrap();
            assert_eq!(log.verdict(&bytes, None, clock), Codes::default(), "{}", entry["index"]);
            log.push(&bytes);
        }
        for (who, record) in batch["records"].as_object().unwrap() {
            let identity = id(&chain["identities"][who]).unwrap();
            texts.insert(identity, record.as_str().unwrap().as_bytes().to_vec());
        }
        for identity in log.identities() {
            let theirs: Value = serde_json::from_slice(&texts[&identity]).unwrap();
            let mut mine = log.record(identity);
            mine["evidence"] = theirs["evidence"].clone();
            let mine = String::from_utf8(canonical(&mine)).unwrap();
            assert_eq!(mine.as_bytes(), texts[&identity], "{mine}\n{theirs}");
        }
        let records: Vec<_> = texts.clone().into_iter().collect();
        let bytes = unhex(&batch["trailer"]);
        let trailer = Trailer::parse(&bytes).unwrap();
        assert_eq!(log.state_root(&records), trailer.map_root);
        assert_eq!((trailer.covers, trailer.identities), (log.size(), records.len() as u64));
        log.push(&bytes);
        let leaves: Vec<Id> = log.entries.iter().map(|entry| entry.leaf).collect();
        assert_eq!(log_root(&leaves).to_vec(), unhex(&batch["root"]));
    }
}

#[test]
fn bad_links_are_refused_with_a_code_that_applies() {
    let Some(vectors) = read("bad_links.json") else { return };
    let empty = log_of(&vectors["origin"]);
    let mut log = empty.clone();
    for entry in vectors["prefix"].as_array().unwrap() {
        log.push(&b64(entry));
    }
    let mut wrong = Vec::new();
    for (log, cases) in [(&log, "cases"), (&empty, "empty_log_cases")] {
        for case in vectors[cases].as_array().unwrap() {
            let codes = log.verdict(&b64(&case["entry"]), None, case["clock_ms"].as_u64().unwrap());
            let theirs: Vec<&str> = case["codes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let agrees =
                if theirs.is_empty() { codes.is_empty() } else { theirs.iter().any(|code| codes.contains(code)) };
            if !agrees {
                wrong.push(format!("{}: {codes:?} here, {theirs:?} there ({})", case["name"], case["why"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_leads_to_the_roots_of_the_vectors() {
    let Some(vectors) = read("map.json") else { return };
    for tree in vectors["trees"].as_array().unwrap() {
        let item = |what: &str, n: u64| hash(&[format!("{what} {n}").as_bytes()]);
        let leaves: Vec<_> = (0..tree["n"].as_u64().unwrap()).map(|n| (item("key", n), item("value", n))).collect();
        assert_eq!(hex(&map_root(&leaves, 0)), tree["root"].as_str().unwrap());
    }
}
