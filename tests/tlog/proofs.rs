//! Proof files.

use super::*;

fn proof(extra: Option<&[u8]>, path: usize) -> Result<TlogProof, TlogError> {
    TlogProof::new(extra.map(Into::into), LeafIndex::new(3), vec![Hash::ZERO; path], signed())
}

#[test]
fn what_is_written_reads_back() {
    for (extra, path) in [(None, 0), (Some(&b"x"[..]), 1), (Some(&[0; 300]), 64)] {
        let proof = proof(extra, path).unwrap();
        assert_eq!(TlogProof::parse(proof.to_string().as_bytes()), Ok(proof));
    }
}

#[test]
fn each_way_to_be_wrong() {
    let ok = proof(Some(b"x"), 2).unwrap().to_string();
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for (why, text, error) in [
        ("nothing", String::new(), TlogError::Proof),
        ("no empty line at all", ok.replace("\n\n", "\n"), TlogError::Proof),
        ("other version", ok.replacen("@v1", "@v2", 1), TlogError::Proof),
        ("carriage returns", ok.replace('\n', "\r\n"), TlogError::Proof),
        ("empty line above", format!("\n{ok}"), TlogError::Proof),
        ("no empty line", ok.replacen("\n\n", "\n", 1), TlogError::Note),
        ("two empty lines", ok.replacen("\n\n", "\n\n\n", 1), TlogError::CheckpointLines),
        ("extra empty", ok.replace("eA==", ""), TlogError::ProofExtra),
        ("extra without padding", ok.replace("eA==", "eA"), TlogError::ProofExtra),
        ("extra with stray bits", ok.replace("eA==", "eB=="), TlogError::ProofExtra),
        ("extra after two spaces", ok.replace("extra ", "extra  "), TlogError::ProofExtra),
        ("extra twice", ok.replace("index", "extra eA==\nindex"), TlogError::ProofIndex),
        ("extra below the index", ok.replace("extra eA==\nindex 3", "index 3\nextra eA=="), TlogError::ProofPath),
        ("no index", ok.replace("index 3\n", ""), TlogError::ProofIndex),
        ("index with a leading zero", ok.replace("index 3", "index 03"), TlogError::ProofIndex),
        ("negative index", ok.replace("index 3", "index -3"), TlogError::ProofIndex),
        ("index 2^53", ok.replace("index 3", "index 9007199254740992"), TlogError::ProofIndex),
        ("unknown line", ok.replace("index 3\n", "index 3\nnote x\n"), TlogError::ProofPath),
        ("path with stray bits", ok.replacen("A=\n", "B=\n", 1), TlogError::ProofPath),
        ("path hash of 31 bytes", ok.replacen("AA=\n", "==\n", 1), TlogError::ProofPath),
        ("65 hashes", ok.replacen(hash, &hash.repeat(64), 1), TlogError::ProofPath),
        ("no checkpoint", ok[..ok.find("\n\n").unwrap() + 2].into(), TlogError::Note),
        ("something below", format!("{ok}x\n"), TlogError::SignatureLine),
    ] {
        assert_eq!(TlogProof::parse(text.as_bytes()), Err(error), "{why}");
    }
    assert_eq!(TlogProof::parse(b"\xff"), Err(TlogError::Proof));
    assert_eq!(TlogProof::parse(&vec![b'x'; 46_000_000]), Err(TlogError::Proof));
    assert_eq!(proof(Some(b""), 0), Err(TlogError::ProofExtra));
    assert_eq!(proof(None, 65), Err(TlogError::ProofPath));
}
