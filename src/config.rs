//! Settings of a node: `soulchain.toml`, overridden by `SOULCHAIN_…` in the environment, overridden by flags.
//!
//! `soulchain.example.toml` documents every key; a test holds the two against each other. Unknown keys are refused.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::http::{LimitSettings, ServerLimits};
use crate::log::PoolLimits;
use crate::node::ViewStore;
use crate::witness::Pace;

/// Longest settings file.
const MAX_FILE_LEN: u64 = 1 << 20;
/// Beginning of the names of environment variables.
const PREFIX: &str = "SOULCHAIN_";

/// All settings of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Data directory.
    pub data: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Origin of a new log.
    pub origin: Option<String>,
    /// Whether a new log signs what it publishes with an ML-DSA-44 key as well.
    pub ml_dsa: bool,
    /// Store of the views: `fjall` or `sled`.
    pub views: String,
    /// Milliseconds between publications, where there are no witnesses.
    pub publish_interval_ms: u64,
    /// C2SP policy file with the witnesses of the log; without one it has none.
    pub policy: Option<PathBuf>,
    /// How the witnesses are fed.
    pub witnesses: WitnessesTable,
    /// Limits.
    pub limits: LimitsTable,
    /// Log output.
    pub log: LogTable,
}

/// `[witnesses]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessesTable {
    /// Milliseconds between rounds while the log grows.
    pub interval_ms: u64,
    /// Seconds between rounds while it does not.
    pub refresh_seconds: u64,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address; 0 is no limit.
    pub connections_per_address: usize,
    /// Seconds for the head of a request.
    pub head_timeout_seconds: u64,
    /// Entries that may wait.
    pub pool_entries: usize,
    /// Bytes that may wait.
    pub pool_bytes: usize,
    /// Writing requests a minute from one address; 0 is no limit.
    pub writes_per_minute: u32,
    /// Registrations an hour from one address; 0 is no limit.
    pub registrations_per_hour: u32,
    /// Links a second of one identity; 0 is no limit.
    pub links_per_second: u32,
    /// Key events a minute from one address, and of one identity; 0 is no limit.
    pub key_events_per_minute: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// What is shown, as tracing filters write it.
    pub level: String,
    /// Whether lines are JSON.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("soulchain-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            origin: None,
            ml_dsa: false,
            views: "fjall".into(),
            publish_interval_ms: 100,
            policy: None,
            witnesses: WitnessesTable::default(),
            limits: LimitsTable::default(),
            log: LogTable::default(),
        }
    }
}

impl Default for WitnessesTable {
    fn default() -> Self {
        let pace = Pace::default();
        // Both are small.
        let interval_ms = u64::try_from(pace.interval.as_millis()).unwrap_or(u64::MAX);
        Self { interval_ms, refresh_seconds: pace.refresh.as_secs() }
    }
}

impl Default for LimitsTable {
    fn default() -> Self {
        let (server, pool) = (ServerLimits::default(), PoolLimits::default());
        Self {
            connections: server.connections,
            connections_per_address: server.connections_per_address.map_or(0, NonZeroUsize::get),
            head_timeout_seconds: server.head_timeout.as_secs(),
            pool_entries: pool.entries,
            pool_bytes: pool.bytes,
            writes_per_minute: 100,
            registrations_per_hour: 10,
            links_per_second: 1_000,
            key_events_per_minute: 30,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for LogTable {
    fn default() -> Self {
        Self { level: "info".into(), json: false }
    }
}

/// Why settings are refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    File(PathBuf, std::io::Error),
    /// The file or an environment variable does not say what it should.
    Syntax(String),
    /// A value is out of its range.
    Value {
        /// Which key.
        key: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Syntax(what) => write!(f, "settings: {what}"),
            Self::Value { key, allowed } => write!(f, "settings: {key} is {allowed}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Settings {
    /// Reads a file, if one is given, and then the environment.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut table = match file {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(PREFIX).filter(|key| is_setting(key)) {
                set(&mut table, key, &value);
            }
        }
        let settings: Self =
            table.try_into().map_err(|error: toml::de::Error| ConfigError::Syntax(error.message().to_owned()))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, allowed| Err(ConfigError::Value { key, allowed });
        if self.limits.connections == 0 {
            return value("limits.connections", "at least 1");
        }
        // Less, and the largest request would never find room.
        if self.limits.pool_bytes < 8 << 20 || self.limits.pool_entries < 1_024 {
            return value("limits.pool_bytes / pool_entries", "at least 8 MiB and 1,024 entries");
        }
        if !(10..=60_000).contains(&self.publish_interval_ms) {
            return value("publish_interval_ms", "10 to 60000");
        }
        if !(100..=60_000).contains(&self.witnesses.interval_ms)
            || !(1..=3_600).contains(&self.witnesses.refresh_seconds)
        {
            return value("witnesses.interval_ms / refresh_seconds", "100 to 60000, and 1 to 3600");
        }
        self.view_store().map(|_| ())
    }

    /// Which store holds the views.
    pub fn view_store(&self) -> Result<ViewStore, ConfigError> {
        match self.views.as_str() {
            "fjall" => Ok(ViewStore::Fjall),
            #[cfg(feature = "sled")]
            "sled" => Ok(ViewStore::Sled),
            _ => Err(ConfigError::Value { key: "views", allowed: "fjall, or sled in a build with that feature" }),
        }
    }

    /// How the witnesses are fed.
    pub fn pace(&self) -> Pace {
        Pace {
            interval: Duration::from_millis(self.witnesses.interval_ms),
            refresh: Duration::from_secs(self.witnesses.refresh_seconds),
            ..Pace::default()
        }
    }

    /// Limits of connections.
    pub fn server_limits(&self) -> ServerLimits {
        ServerLimits {
            connections: self.limits.connections,
            connections_per_address: NonZeroUsize::new(self.limits.connections_per_address),
            trusted_proxies: self.limits.trusted_proxies.clone(),
            head_timeout: Duration::from_secs(self.limits.head_timeout_seconds.max(1)),
            ..ServerLimits::default()
        }
    }

    /// Limits of the pool.
    pub fn pool_limits(&self) -> PoolLimits {
        PoolLimits { entries: self.limits.pool_entries, bytes: self.limits.pool_bytes }
    }

    /// Request rates.
    pub fn limit_settings(&self) -> LimitSettings {
        LimitSettings {
            writes_per_minute: NonZeroU32::new(self.limits.writes_per_minute),
            registrations_per_hour: NonZeroU32::new(self.limits.registrations_per_hour),
            links_per_second: NonZeroU32::new(self.limits.links_per_second),
            key_events_per_minute: NonZeroU32::new(self.limits.key_events_per_minute),
            trusted_proxies: self.limits.trusted_proxies.clone(),
        }
    }
}

/// Variables with the prefix that are no settings of a node: clients have theirs.
fn is_setting(key: &str) -> bool {
    !matches!(key, "NODE" | "KEYS" | "PASSPHRASE" | "SHARED" | "CONFIG")
}

fn read(path: &Path) -> Result<toml::Table, ConfigError> {
    let file = |error| ConfigError::File(path.to_owned(), error);
    let len = std::fs::metadata(path).map_err(file)?.len();
    if len > MAX_FILE_LEN {
        return Err(ConfigError::Syntax("the file is longer than 1 MiB".into()));
    }
    let text = std::fs::read_to_string(path).map_err(file)?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string()))
}

/// `SOULCHAIN_LISTEN` sets `listen`, `SOULCHAIN_LIMITS_CONNECTIONS` sets `limits.connections`.
fn set(table: &mut toml::Table, key: &str, text: &str) {
    let key = key.to_ascii_lowercase();
    let value = format!("v = {text}").parse::<toml::Table>().ok().and_then(|mut parsed| parsed.remove("v"));
    let value = value.unwrap_or_else(|| toml::Value::String(text.to_owned()));
    for section in ["limits", "log", "witnesses"] {
        if let Some(rest) = key.strip_prefix(section).and_then(|rest| rest.strip_prefix('_')) {
            let inner = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(inner) = inner.as_table_mut() {
                inner.insert(rest.to_owned(), value);
            }
            return;
        }
    }
    table.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::load(None, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_overrides() {
        let settings = load(&[("SOULCHAIN_LISTEN", "127.0.0.1:9"), ("SOULCHAIN_LIMITS_CONNECTIONS", "7")]).unwrap();
        assert_eq!((settings.listen.port(), settings.limits.connections), (9, 7));
        assert!(load(&[("SOULCHAIN_NODE", "http://x"), ("OTHER", "1")]).is_ok());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(load(&[("SOULCHAIN_LISTEM", "127.0.0.1:9")]).is_err());
        assert!(load(&[("SOULCHAIN_LIMITS_CONNECTIONS", "0")]).is_err());
        assert!(load(&[("SOULCHAIN_VIEWS", "rocks")]).is_err());
        assert!(load(&[("SOULCHAIN_PUBLISH_INTERVAL_MS", "1")]).is_err());
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/soulchain.example.toml"));
        let text = std::fs::read_to_string(path).unwrap();
        // Every commented-out setting is one: uncommented, the file is read and says the defaults.
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n");
        let table: toml::Table = uncommented.parse().unwrap();
        let mut read: Settings = table.try_into().unwrap();
        assert_eq!(read.origin.take().as_deref(), Some("log.example/agents"));
        assert_eq!(read.policy.take(), Some(PathBuf::from("witnesses.policy")));
        assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
    }
}
