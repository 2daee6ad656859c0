//! Settings of a monitor: a TOML file. Unknown keys are refused.
//!
//! ```toml
//! state = "soulchain-monitor"        interval_seconds = 10     stale_seconds = 3600     patience_seconds = 600
//! webhook = "https://…"              listen = "127.0.0.1:9090" cosign = "monitor.example/m1"  key = "monitor.key"
//! [[log]]
//! url = "https://log.example"        policy = "policy.txt"     watch = ["scout", "*"]   spool = "proofs"
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::read_file;
use super::error::{CliError, CliResult};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MonitorSettings {
    pub(super) state: PathBuf,
    pub(super) interval_seconds: u64,
    pub(super) stale_seconds: u64,
    pub(super) patience_seconds: u64,
    pub(super) webhook: Option<String>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) cosign: Option<String>,
    pub(super) key: Option<PathBuf>,
    pub(super) threads: Option<usize>,
    pub(super) log: Vec<LogTable>,
}

/// `[[log]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    pub(super) url: String,
    pub(super) policy: Option<PathBuf>,
    pub(super) vkey: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) instant_vkey: Option<String>,
    #[serde(default)]
    pub(super) plain: bool,
    #[serde(default)]
    pub(super) watch: Vec<String>,
    #[serde(default)]
    pub(super) check: Vec<PathBuf>,
    pub(super) spool: Option<PathBuf>,
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self {
            state: "soulchain-monitor".into(),
            interval_seconds: 10,
            stale_seconds: 3600,
            patience_seconds: 600,
            webhook: None,
            listen: None,
            cosign: None,
            key: None,
            threads: None,
            log: Vec::new(),
        }
    }
}

impl MonitorSettings {
    pub(super) fn load(path: &Path) -> CliResult<Self> {
        let text = String::from_utf8(read_file(path)?).map_err(|error| CliError::file(path, error))?;
        let settings: Self = toml::from_str(&text).map_err(|error| CliError::file(path, error))?;
        if settings.interval_seconds == 0 || settings.cosign.is_some() != settings.key.is_some() {
            let text = "an interval is at least a second, and `cosign` and `key` go together";
            return Err(CliError::file(path, text));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_read() {
        let read = |text: &str| toml::from_str::<MonitorSettings>(text);
        let settings = read("interval_seconds = 3\n[[log]]\nurl = \"http://h\"\nwatch = [\"*\"]\n").unwrap();
        assert_eq!((settings.interval_seconds, settings.log[0].watch.len(), settings.stale_seconds), (3, 1, 3600));
        assert!(read("intervall_seconds = 3\n").is_err());
        assert!(read("[[log]]\nurl = \"http://h\"\nkind = \"plain\"\n").is_err());
    }
}
