//! What the connections of a bench will send, made before the clock starts.

use hyper::body::Bytes;

use super::BenchArgs;
use super::mixed::Mix;
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::Output;
use crate::client::{Action, Agent, Client, KnownLog, NewAgent, ProofWanted, SignedLink, Signer, now};
use crate::keyfile::KeyFile;
use crate::soul::{Identity, Outcome};
use crate::tlog::MAX_ENTRY_LEN;
use crate::wire::{LINKS_MEDIA_TYPE, LinkJson, MAX_LINKS, write_links};

/// The requests of one connection.
#[derive(Debug)]
pub(super) enum Script {
    /// These, in this order.
    Listed {
        /// Their bodies.
        bodies: Vec<Bytes>,
        /// Of what kind these are.
        media_type: &'static str,
        /// Links of each.
        entries: usize,
    },
    /// Entries of this size, none like another.
    Opaque {
        /// Makes those of this connection its own.
        seed: u64,
        /// Bytes of an entry.
        size: usize,
    },
}

/// A script of signed links for each connection, each with agents of its own.
pub(super) async fn signed(args: &BenchArgs, out: &Output) -> CliResult<Vec<Script>> {
    let (clients, batch) = (args.clients.get(), args.batch.get());
    if batch > MAX_LINKS {
        return Err(CliError::usage(format!("--batch is at most {MAX_LINKS}")));
    }
    let client = Client::new(&args.node.node)?;
    let log = KnownLog::ask(&client).await?;
    let agents_each = args.agents.div_ceil(clients).max(1);
    let links_each = args.links.div_ceil(clients * agents_each).next_multiple_of(batch);
    let bar = out.progress((clients * agents_each) as u64, "preparing  {bar:40} {pos}/{len} agents");
    let mut making = Vec::with_capacity(clients);
    let run = now();
    for number in 0..clients {
        let (client, log, bar) = (client.clone(), log.clone(), bar.clone());
        let (size, mix, named) = (args.size, args.mix, args.named);
        making.push(tokio::spawn(async move {
            let mut chains = Vec::with_capacity(agents_each);
            // The registrar can be spoken of before there is anybody else.
            let registrar = if mix { Some(client.agent("registrar").await?.identity) } else { None };
            let mut subject = registrar.and_then(|identity| Identity::from_hex(&identity));
            for at in 0..agents_each {
                let name = named.then(|| format!("bench-{run}-{number}-{at}"));
                let (identity, links) = chain(&client, &log, name, links_each, size, subject).await?;
                subject = subject.and(Some(identity));
                chains.push(links);
                bar.inc(1);
            }
            Ok::<_, CliError>(script(&chains, batch))
        }));
    }
    let mut scripts = Vec::with_capacity(clients);
    for made in making {
        scripts.push(made.await.map_err(|error| CliError::failed(error.to_string()))??);
    }
    bar.finish_and_clear();
    Ok(scripts)
}

/// Registers an agent, and signs links for it: a mix of types where there is somebody to speak of.
async fn chain(
    client: &Client,
    log: &KnownLog,
    name: Option<String>,
    links: usize,
    size: usize,
    subject: Option<Identity>,
) -> CliResult<(Identity, Vec<SignedLink>)> {
    let (admin, act) = (Signer::from(&KeyFile::generate()?), Signer::from(&KeyFile::generate()?));
    let new = NewAgent { name, ..NewAgent::of_keys(admin.clone(), act.clone()) };
    let (agent, genesis) = new.register(client, log, ProofWanted::Log, now()).await?;
    let (identity, log_id, genesis) = (agent.identity(), log.id(), genesis.link().curr());
    let signing = tokio::task::spawn_blocking(move || match subject {
        Some(subject) => Mix { log_id, genesis, admin, act, subject, size }.sign(links),
        None => sign(&agent, links, size),
    });
    Ok((identity, signing.await.map_err(|error| CliError::failed(error.to_string()))??))
}

fn sign(agent: &Agent, links: usize, size: usize) -> CliResult<Vec<SignedLink>> {
    const AROUND_INPUT: usize = br#"{"action":"bench","input":"","v":1}"#.len();
    let input = "x".repeat(size.saturating_sub(AROUND_INPUT));
    let action = Action::new("bench").with("input", input).outcome(Outcome::Success);
    Ok(agent.sign_actions(&vec![action; links], now())?)
}

/// Takes the agents in turn.
fn script(chains: &[Vec<SignedLink>], batch: usize) -> Script {
    let requests = chains.first().map_or(0, |chain| chain.len() / batch);
    let in_turn = (0..requests).flat_map(|at| chains.iter().map(move |chain| &chain[at * batch..(at + 1) * batch]));
    let media_type = if batch == 1 { "application/json" } else { LINKS_MEDIA_TYPE };
    Script::Listed { bodies: in_turn.map(body).collect(), media_type, entries: batch }
}

/// As clients send them: one link as JSON, more in binary.
fn body(links: &[SignedLink]) -> Bytes {
    match links {
        [link] => {
            let json = LinkJson::of(&link.link, link.beside.as_ref());
            serde_json::to_vec(&json).expect("links are maps with text keys").into()
        }
        links => write_links(links.iter().map(|signed| (&signed.link, signed.beside.as_ref()))).into(),
    }
}

/// A script of opaque entries for each connection.
pub(super) fn opaque(args: &BenchArgs) -> CliResult<Vec<Script>> {
    if !(16..=MAX_ENTRY_LEN).contains(&args.size) {
        return Err(CliError::usage(format!("--size is 16 to {MAX_ENTRY_LEN}")));
    }
    // Another run's entries are others.
    let first = now().get() << 16;
    Ok((0..args.clients.get() as u64).map(|n| Script::Opaque { seed: first + n, size: args.size }).collect())
}

impl Script {
    /// The request at this place; `None` when there are no more.
    pub(super) fn body(&self, at: usize) -> Option<Bytes> {
        match self {
            Self::Listed { bodies, .. } => bodies.get(at).cloned(),
            Self::Opaque { seed, size } => {
                let mut entry = vec![0x5c; *size];
                entry[..8].copy_from_slice(&seed.to_be_bytes());
                entry[8..16].copy_from_slice(&(at as u64).to_be_bytes());
                Some(entry.into())
            }
        }
    }

    pub(super) const fn media_type(&self) -> &'static str {
        match self {
            Self::Listed { media_type, .. } => media_type,
            Self::Opaque { .. } => "application/octet-stream",
        }
    }

    /// Entries of a request.
    pub(super) const fn entries(&self) -> usize {
        match self {
            Self::Listed { entries, .. } => *entries,
            Self::Opaque { .. } => 1,
        }
    }
}
