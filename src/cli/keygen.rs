//! `soulchain keygen`: a key file, and what is made from its public key.

use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, CliResult};
use super::key_dir::{passphrase, passphrase_for_new};
use super::output::Output;
use crate::encoding::b64u_encode;
use crate::keyfile::KeyFile;
use crate::soul::next_commitment;
use crate::tlog::{Ed25519Signer, KeyName};

const EXAMPLES: &str = "\
Examples:
  soulchain keygen recovery.key                       encrypted under SOULCHAIN_PASSPHRASE
  soulchain keygen log.key --unencrypted --vkey log.example/agents
  soulchain keygen --show recovery.key";

/// Flags of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeygenArgs {
    /// The file to write; one that exists is never overwritten
    file: PathBuf,
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

pub(super) fn run(args: &KeygenArgs, out: &Output) -> CliResult<()> {
    let key = if args.show { KeyFile::read(&args.file, passphrase().as_ref())?.key } else { make(args)? };
    let vkey = args.vkey.as_deref().map(|name| vkey(name, &key)).transpose()?;
    let (kid, pk, next) = (key.kid().to_hex(), b64u_encode(key.pk()), next_commitment(key.pk()).to_hex());
    let json = serde_json::json!({
        "file": args.file.display().to_string(), "kid": kid, "pk": pk, "next": next, "vkey": vkey,
    });
    out.result(&json, |out| {
        out.fields(&[
            ("file", args.file.display().to_string()),
            ("kid", kid.clone()),
            ("public key", pk.clone()),
            ("as next", next.clone()),
            ("vkey", vkey.clone().unwrap_or_default()),
        ]);
    });
    if args.unencrypted {
        out.warn("the key is not encrypted: whoever can read the file has it");
    }
    Ok(())
}

fn make(args: &KeygenArgs) -> CliResult<KeyFile> {
    let passphrase = passphrase_for_new(args.unencrypted)?;
    let key = KeyFile::generate()?;
    key.write(&args.file, passphrase.as_ref())?;
    Ok(key)
}

fn vkey(name: &str, key: &KeyFile) -> CliResult<String> {
    let name = KeyName::parse(name).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(Ed25519Signer::from_seed(name, key.seed()).vkey().to_string())
}
