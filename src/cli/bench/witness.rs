//! What is sent to a witness: checkpoints of many logs, each grown a little, with their proofs.
//!
//! Every log has a key that follows from its number, so that a witness can be told of them before the run. All their
//! trees have one leaf over and over: then all nodes of a level are alike, and trees of a million leaves cost nothing.

use core::convert::Infallible;

use hyper::body::Bytes;

use super::BenchArgs;
use super::prepared::Script;
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::Output;
use crate::encoding::b64_encode;
use crate::hash::{Hash, sha256};
use crate::merkle::{NodeId, TreeSize, consistency_plan, leaf_hash, node_hash, root_plan};
use crate::tlog::{Checkpoint, Ed25519Signer, KeyName, Origin, sign_checkpoint};

/// The least size of a checkpoint: paths are as long as those of real logs.
const FIRST_SIZE: u64 = 1 << 20;

/// A log of the bench.
struct BenchLog {
    origin: Origin,
    signer: Ed25519Signer,
}

/// The lines that a witness has to be told.
pub(super) fn list(args: &BenchArgs, out: &Output) -> CliResult<()> {
    for number in 0..args.logs.get() {
        out.line(format_args!("log {}", BenchLog::new(number)?.signer.vkey()));
    }
    Ok(())
}

/// A script for each connection, each with logs of its own.
pub(super) async fn checkpoints(args: &BenchArgs, out: &Output) -> CliResult<Vec<Script>> {
    let (clients, logs) = (args.clients.get().min(args.logs.get()), args.logs.get());
    let each = args.links.div_ceil(logs) as u64;
    let tree = Tree::new();
    let bar = out.progress(logs as u64, "preparing  {bar:40} {pos}/{len} logs");
    let http = reqwest::Client::new();
    let url = format!("{}/add-checkpoint", args.node.node.trim_end_matches('/'));
    let mut making = Vec::new();
    for number in 0..logs {
        let size = cosigned_size(&http, &url, &BenchLog::new(number)?, &tree).await?;
        let (tree, bar) = (tree.clone(), bar.clone());
        making.push(tokio::task::spawn_blocking(move || {
            let log = BenchLog::new(number)?;
            bar.inc(1);
            (size..size + each).map(|size| log.request(&tree, size, size + 1)).collect::<CliResult<Vec<Bytes>>>()
        }));
    }
    let mut of_logs = Vec::with_capacity(logs);
    for made in making {
        of_logs.push(made.await.map_err(|error| CliError::failed(error.to_string()))??);
    }
    bar.finish_and_clear();
    let script = |client: usize| {
        let own: Vec<_> = of_logs.iter().skip(client).step_by(clients).collect();
        let bodies = (0..each as usize).flat_map(|at| own.iter().map(move |log| log[at].clone())).collect();
        Script::Listed { bodies, media_type: "text/plain", entries: 1 }
    };
    Ok((0..clients).map(script).collect())
}

/// Makes the witness know a log, and says at which size.
async fn cosigned_size(http: &reqwest::Client, url: &str, log: &BenchLog, tree: &Tree) -> CliResult<u64> {
    let unavailable = |error: reqwest::Error| CliError::unavailable(error.to_string()).hint("is the witness running?");
    let sent = http.post(url).body(log.request(tree, 0, FIRST_SIZE)?).send().await.map_err(unavailable)?;
    let status = sent.status().as_u16();
    let answer = sent.text().await.map_err(unavailable)?;
    match (status, answer.trim_end().parse()) {
        (200, _) => Ok(FIRST_SIZE),
        (409, Ok(size)) if size >= FIRST_SIZE => Ok(size),
        _ => Err(CliError::failed(format!("the witness answered {status}: {}", answer.trim_end()))
            .hint("give the witness the output of `soulchain bench --mode witness --list` as --logs")),
    }
}

impl BenchLog {
    fn new(number: usize) -> CliResult<Self> {
        let unfit = |error: crate::tlog::TlogError| CliError::failed(error.to_string());
        let text = format!("bench.example/log{number:06}");
        let name = KeyName::parse(&text).map_err(unfit)?;
        let seed = sha256(&[b"soulchain bench ", text.as_bytes()]);
        Ok(Self { origin: Origin::parse(&text).map_err(unfit)?, signer: Ed25519Signer::from_seed(name, &seed) })
    }

    fn request(&self, tree: &Tree, old: u64, new: u64) -> CliResult<Bytes> {
        let checkpoint = Checkpoint::new(self.origin.clone(), TreeSize::new(new), tree.root(new));
        let signed = checkpoint.and_then(|checkpoint| sign_checkpoint(&checkpoint, &self.signer));
        let signed = signed.map_err(|error| CliError::failed(error.to_string()))?;
        let mut request = format!("old {old}\n");
        for hash in tree.path(old, new) {
            request.push_str(&b64_encode(hash.as_bytes()));
            request.push('\n');
        }
        request.push('\n');
        request.push_str(signed.note().as_str());
        Ok(request.into())
    }
}

/// The hash of every node of a level.
#[derive(Clone)]
struct Tree(Vec<Hash>);

impl Tree {
    fn new() -> Self {
        let next = |hash: &Hash| Some(node_hash(hash, hash));
        Self(core::iter::successors(Some(leaf_hash(b"bench")), next).take(64).collect())
    }

    fn hash(&self, node: NodeId) -> Hash {
        self.0[usize::from(node.level)]
    }

    fn root(&self, size: u64) -> Hash {
        let Ok(root) = root_plan(TreeSize::new(size)).root(|node| Ok::<_, Infallible>(self.hash(node)));
        root
    }

    fn path(&self, old: u64, new: u64) -> Vec<Hash> {
        let plan = consistency_plan(TreeSize::new(old), TreeSize::new(new)).filter(|_| old > 0);
        let Some(plan) = plan else { return Vec::new() };
        let Ok(path) = plan.path(|node| Ok::<_, Infallible>(self.hash(node)));
        path
    }
}
