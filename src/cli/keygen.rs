//! `soulchain keygen`: a key file, and what is made from its public key.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::error::{CliError, CliResult};
use super::key_dir::{passphrase, passphrase_for_new};
use super::output::Output;
use crate::encoding::b64u_encode;
use crate::keyfile::{AnyKeyFile, KeyAlg};
use crate::soul::next_commitment;
use crate::tlog::{Ed25519Signer, KeyName};

const EXAMPLES: &str = "\
Examples:
  soulchain keygen recovery.key                       encrypted under SOULCHAIN_PASSPHRASE
  soulchain keygen log.key --unencrypted --vkey log.example/agents
  soulchain keygen witness.key --type ml-dsa-44 --vkey witness.example/w1
  soulchain keygen --show recovery.key";

/// Flags of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeygenArgs {
    /// The file to write; one that exists is never overwritten
    file: PathBuf,
    /// What the key is for; with --show, what its verifier key is for
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<KeyKind>,
    /// Print the verifier key under this name as well
    #[arg(long, value_name = "NAME")]
    vkey: Option<String>,
    /// Write the key without a passphrase; else it is taken from `SOULCHAIN_PASSPHRASE`
    #[arg(long)]
    unencrypted: bool,
    /// Make no key: show that of the file
    #[arg(long, conflicts_with = "unencrypted")]
    show: bool,
}

/// Algorithm, and type of the verifier key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum KeyKind {
    /// Agents, and the notes of logs; the default
    Ed25519,
    /// Cosignatures of witnesses and mirrors, by Ed25519
    Witness,
    /// Cosignatures of witnesses and mirrors and the checkpoints of logs, by ML-DSA-44
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

impl KeyKind {
    const fn alg(self) -> KeyAlg {
        match self {
            Self::Ed25519 | Self::Witness => KeyAlg::Ed25519,
            Self::MlDsa44 => KeyAlg::MlDsa44,
        }
    }
}

pub(super) fn run(args: &KeygenArgs, out: &Output) -> CliResult<()> {
    let name = args.vkey.as_deref().map(KeyName::parse).transpose();
    let name = name.map_err(|error| CliError::usage(error.to_string()))?;
    let key = if args.show { show(args)? } else { make(args)? };
    let vkey = name.map(|name| vkey(name, &key, args.kind)).transpose()?;
    let (kid, pk) = (key.kid().to_hex(), b64u_encode(key.pk()));
    let next = key.pk().try_into().ok().map(|pk| next_commitment(pk).to_hex());
    let json = serde_json::json!({
        "file": args.file.display().to_string(), "alg": key.alg().name(), "kid": kid, "pk": pk, "next": next,
        "vkey": vkey,
    });
    out.result(&json, |out| {
        out.fields(&[
            ("file", args.file.display().to_string()),
            ("kid", kid.clone()),
            ("public key", pk.clone()),
            ("as next", next.clone().unwrap_or_default()),
            ("vkey", vkey.clone().unwrap_or_default()),
        ]);
    });
    if args.unencrypted {
        out.warn("the key is not encrypted: whoever can read the file has it");
    }
    Ok(())
}

fn show(args: &KeygenArgs) -> CliResult<AnyKeyFile> {
    let passphrase = passphrase();
    let opened = match args.kind {
        Some(kind) => AnyKeyFile::read_of(kind.alg(), &args.file, passphrase.as_ref()),
        None => AnyKeyFile::read(&args.file, passphrase.as_ref()),
    };
    Ok(opened?.key)
}

fn make(args: &KeygenArgs) -> CliResult<AnyKeyFile> {
    let passphrase = passphrase_for_new(args.unencrypted)?;
    let key = AnyKeyFile::generate(args.kind.map_or(KeyAlg::Ed25519, KeyKind::alg))?;
    key.write(&args.file, passphrase.as_ref())?;
    Ok(key)
}

fn vkey(name: KeyName, key: &AnyKeyFile, kind: Option<KeyKind>) -> CliResult<String> {
    let signs_notes = key.alg() == KeyAlg::Ed25519 && kind != Some(KeyKind::Witness);
    if signs_notes {
        return Ok(Ed25519Signer::from_seed(name, key.seed()).vkey().to_string());
    }
    let cosigner = key.cosigner(name).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(cosigner.vkey().to_string())
}
