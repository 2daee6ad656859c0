//! A log and its witnesses as processes of their own on loopback: the real binary from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod followers;
mod processes;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use soulchain::merkle::TreeSize;
use soulchain::tlog::{AddCheckpointRequest, Policy, SignedCheckpoint};

use self::processes::{Scene, get, post, until};

/// How long to wait for what is to happen within seconds.
const PATIENCE: Duration = Duration::from_mins(2);

fn published(scene: &Scene) -> SignedCheckpoint {
    let (status, note) = get(&format!("{}/checkpoint", scene.node().url));
    assert_eq!(status, 200, "{note}");
    SignedCheckpoint::parse(note.as_bytes()).unwrap()
}

fn tree_size(scene: &Scene) -> u64 {
    let (_, text) = get(&format!("{}/v1/log", scene.node().url));
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["tree_size"].as_u64().unwrap()
}

fn policy(scene: &Scene) -> Policy {
    Policy::parse(scene.read("policy.txt").as_bytes()).unwrap()
}

/// Waits until all of the log is published. Then no cosigned checkpoint is on its way.
fn catch_up(scene: &Scene) {
    until(PATIENCE, "the published checkpoint catches up", || {
        published(scene).claim().size().get() >= tree_size(scene)
    });
}

/// Appends an action with a wait for the witnesses, and says whether they came in time.
fn act(scene: &Scene) -> bool {
    let printed = scene.stdout("soulchain agent act scout search --witnessed --json");
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    json["witnessed"].as_bool().unwrap_or_else(|| panic!("{printed}"))
}

#[test]
fn witnesses_go_and_come_back() {
    let mut scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    assert!(act(&scene));
    let first = published(&scene);
    let accepted = policy(&scene).verify_checkpoint(&first).unwrap();
    assert!(accepted.cosigned().len() >= 2);
    // A proof under it holds offline, by a policy that asks for two of three.
    scene.stdout("soulchain log proof --agent scout --seqno 1 --out act.tlog-proof --policy policy.txt");
    scene.stdout("soulchain verify act.tlog-proof --policy policy.txt --max-age 60");

    // One dies: the quorum is still met, and it is caught up when it is back.
    scene.kill_witness(0);
    assert!(act(&scene));
    scene.start_witness(0);
    until(PATIENCE, "the first witness cosigns again", || {
        act(&scene);
        let name = |n: usize| format!("w{n}");
        let accepted = policy(&scene).verify_checkpoint(&published(&scene)).unwrap();
        accepted.cosigned().iter().any(|cosigned| cosigned.witness.to_string() == name(1))
    });

    // Two die: appends go on, what is published stays.
    catch_up(&scene);
    scene.kill_witness(1);
    scene.kill_witness(2);
    let stays = published(&scene);
    assert!(!act(&scene), "nobody can have cosigned it");
    assert!(tree_size(&scene) > stays.claim().size().get());
    assert_eq!(published(&scene).claim().size(), stays.claim().size());
    until(PATIENCE, "the trouble is told", || get(&format!("{}/readyz", scene.node().url)).1.contains("\"trouble\""));

    // They return, and it catches up.
    scene.start_witness(1);
    scene.start_witness(2);
    catch_up(&scene);
    assert!(policy(&scene).verify_checkpoint(&published(&scene)).is_ok());
    assert!(act(&scene));
}

#[test]
fn who_only_appends_cannot_feed_the_witnesses() {
    let scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    // Every answer to an append bears a checkpoint by the instant key. Even one that the log never gave does no harm.
    let (_, text) = get(&format!("{}/v1/log", scene.node().url));
    let log: serde_json::Value = serde_json::from_str(&text).unwrap();
    let instant = fs::read(scene.path().join("node/keys/instant.key")).unwrap();
    let key = serde_json::from_slice::<serde_json::Value>(&instant).unwrap();
    let seed = soulchain::encoding::b64u_decode(key["seed"].as_str().unwrap()).unwrap();
    let origin = soulchain::tlog::Origin::parse(log["origin"].as_str().unwrap()).unwrap();
    let signer = soulchain::tlog::Ed25519Signer::from_seed(origin.key_name().clone(), &seed.try_into().unwrap());
    let root = soulchain::hash::Hash::from_bytes([7; 32]);
    let checkpoint = soulchain::tlog::Checkpoint::new(origin.clone(), TreeSize::new(1_000_000), root).unwrap();
    let signed = soulchain::tlog::sign_checkpoint(&checkpoint, &signer).unwrap();
    for witness in &scene.witnesses {
        let request = AddCheckpointRequest::new(TreeSize::ZERO, Vec::new(), signed.clone()).unwrap();
        let url = format!("{}/add-checkpoint", witness.as_ref().unwrap().url);
        assert_eq!(post(&url, &request.to_string()).0, 403);
    }
    assert!(act(&scene), "the feeder goes on");
}

#[test]
fn a_node_that_lost_what_was_witnessed_does_not_start() {
    let mut scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    assert!(act(&scene));
    scene.stop_node();
    let kept = scene.path().join("kept");
    copy(&scene.path().join("node"), &kept);
    scene.start_node();
    assert!(act(&scene));
    scene.stop_node();
    fs::remove_dir_all(scene.path().join("node")).unwrap();
    fs::rename(&kept, scene.path().join("node")).unwrap();
    // It serves reads while it asks, and ends when a witness has shown what it has.
    let ended = scene.run_node_to_its_end(PATIENCE);
    assert!(ended.contains("fork"), "{ended}");
}

#[test]
fn with_too_few_witnesses_a_start_serves_reads_only() {
    let mut scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    assert!(act(&scene));
    scene.stop_node();
    scene.kill_witness(0);
    scene.kill_witness(1);
    scene.start_node();
    let failed = scene.shell("soulchain agent act scout search");
    assert!(!failed.status.success());
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(told.contains("reads only"), "{told}");
    assert_eq!(get(&format!("{}/readyz", scene.node().url)).0, 503);
    scene.stdout("soulchain agent show scout");
    scene.start_witness(0);
    until(PATIENCE, "writes are taken", || scene.shell("soulchain agent act scout search").status.success());
}

#[test]
fn a_log_with_an_ml_dsa_key_signs_with_both() {
    let scene = Scene::start_with(3, 2, &["--ml-dsa"]);
    scene.stdout("soulchain agent register scout --unencrypted");
    assert!(act(&scene));
    let (_, text) = get(&format!("{}/v1/log", scene.node().url));
    let view: serde_json::Value = serde_json::from_str(&text).unwrap();
    let policy = Policy::parse(view["policy"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(policy.logs().len(), 2);
    let accepted = policy.verify_checkpoint(&published(&scene)).unwrap();
    assert_eq!(accepted.verified().log_keys().len(), 2);
    let began = Instant::now();
    scene.stdout("soulchain audit $SOULCHAIN_NODE --policy policy.txt");
    assert!(began.elapsed() < PATIENCE);
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// What ends an agent, or takes it back, is done when the witnesses have seen it. Until then it is pending.
#[test]
fn what_ends_an_agent_is_done_when_it_is_witnessed() {
    const RECOVER: &str = "soulchain agent recover scout --recovery-key next.key --unencrypted";
    const REVOKE: &str = "soulchain agent revoke scout --yes --policy policy.txt";
    let mut scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    scene.stdout("mv .soulchain/keys/scout-next.key next.key");
    let pending = scene.path().join(".soulchain/keys/scout.pending");
    // By a policy that asks for witnesses no newer record can be read without them, so that is done once.
    for (line, seqno, rounds) in [(RECOVER, "2", 2), (REVOKE, "3", 1)] {
        catch_up(&scene);
        scene.kill_witness(0);
        scene.kill_witness(1);
        for _ in 0..rounds {
            let began = Instant::now();
            let done = scene.shell(&format!("{line} --witness-wait 2 --json"));
            let told = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
            assert_eq!(done.status.code(), Some(4), "{told}");
            assert!(told.contains("not yet witnessed") && told.contains("\"not_witnessed\""), "{told}");
            assert!(began.elapsed() < PATIENCE && pending.exists());
        }
        // Nor does another command bring it to its end without them.
        let rotated = scene.shell("soulchain agent rotate scout --unencrypted --witness-wait 2");
        assert!(rotated.status.code() != Some(0) && pending.exists());
        assert!(seqno != "2" || rotated.status.code() == Some(4), "{rotated:?}");
        let shown = scene.stdout("soulchain resolve scout --json");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["record"]["seqno"].to_string(), seqno);
        scene.start_witness(0);
        scene.start_witness(1);
        let mut printed = Vec::new();
        until(PATIENCE, "it is done", || {
            let done = scene.shell(&format!("{line} --json --proof {seqno}.tlog-proof"));
            printed = done.stdout;
            done.status.success()
        });
        let done: serde_json::Value = serde_json::from_slice(&printed).unwrap();
        assert_eq!(done["link"]["seqno"].to_string(), seqno);
        assert_eq!((&done["resumed"], &done["link"]["witnessed"]), (&true.into(), &true.into()), "{done}");
        assert!(!pending.exists());
        scene.stdout(&format!("soulchain verify {seqno}.tlog-proof --policy policy.txt"));
    }
}
