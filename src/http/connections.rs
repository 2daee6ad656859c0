//! What one address may have at once: connections, and memory that is held for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::network;
use crate::metrics::HELD_BYTES;

/// Connections of one address (of IPv6: one /48), unless settings say otherwise: an eighth of all.
pub(super) const CONNECTIONS_PER_ADDRESS: NonZeroUsize = NonZeroUsize::new(2_048).expect("2,048 is not zero");

/// Memory that requests and answers under way may hold, unless settings say otherwise.
pub(super) const HELD_MAX: usize = 512 << 20;

/// Part of that memory that one address may hold: one in so many.
const HELD_SHARES: usize = 16;

/// What is no longer than this is not counted: the number of connections bounds it.
const SMALL_LEN: usize = 64 << 10;

/// The connections of each address, and the bytes. It knows no more addresses than there are connections.
pub(super) struct PerAddress {
    connections_max: Option<NonZeroUsize>,
    bytes_max: usize,
    trusted_proxies: Vec<IpAddr>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    addresses: HashMap<IpAddr, Share>,
    bytes: usize,
}

#[derive(Default)]
struct Share {
    connections: usize,
    bytes: usize,
}

/// A connection that counts for as long as this lives.
pub(super) struct Counted {
    of: Arc<PerAddress>,
    address: Option<IpAddr>,
}

/// Memory that is held for a request or an answer, for as long as this lives.
pub(super) struct HeldBytes {
    by: Arc<Counted>,
    bytes: usize,
}

/// Put into each request by the server.
#[derive(Clone)]
pub(super) struct Client(pub(super) Arc<Counted>);

impl PerAddress {
    /// `None` is no limit. Many clients come from a proxy, so trusted ones have none, nor a share of the memory alone; nor
    /// has loopback, where a proxy mostly stands, unless the proxies are named.
    pub(super) fn new(
        connections_max: Option<NonZeroUsize>,
        bytes_max: usize,
        trusted_proxies: Vec<IpAddr>,
    ) -> Arc<Self> {
        Arc::new(Self { connections_max, bytes_max, trusted_proxies, open: Mutex::default() })
    }

    /// Counts a connection from an address; `None` where that has as many as it may have.
    pub(super) fn count(self: &Arc<Self>, ip: IpAddr) -> Option<Arc<Counted>> {
        let address = Some(network(ip)).filter(|_| !self.is_exempt(ip.to_canonical()));
        if let Some(address) = address {
            let mut open = self.open();
            let share = open.addresses.entry(address).or_default();
            if self.connections_max.is_some_and(|most| share.connections >= most.get()) {
                return None;
            }
            share.connections += 1;
        }
        Some(Arc::new(Counted { of: Arc::clone(self), address }))
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.contains(&ip) || (ip.is_loopback() && self.trusted_proxies.is_empty())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Nothing as yet.
    pub(super) const fn held(self: Arc<Self>) -> HeldBytes {
        HeldBytes { by: self, bytes: 0 }
    }
}

impl HeldBytes {
    /// Whether it is more than what is small.
    pub(super) const fn is_counted(&self) -> bool {
        self.bytes > 0
    }

    /// Holds so many bytes in all. `false` where there is no room for them; then it holds what it held.
    pub(super) fn hold(&mut self, len: usize) -> bool {
        if len <= SMALL_LEN || len <= self.bytes {
            return true;
        }
        let (per_address, more) = (&self.by.of, len - self.bytes);
        let mut open = per_address.open();
        if open.bytes + more > per_address.bytes_max {
            return false;
        }
        if let Some(share) = self.by.address.and_then(|address| open.addresses.get_mut(&address)) {
            if share.bytes + more > per_address.bytes_max / HELD_SHARES {
                return false;
            }
            share.bytes += more;
        }
        open.bytes += more;
        metrics::gauge!(HELD_BYTES).increment(shown(more));
        self.bytes = len;
        true
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut open = self.by.of.open();
        open.bytes -= self.bytes;
        metrics::gauge!(HELD_BYTES).decrement(shown(self.bytes));
        if let Some(share) = self.by.address.and_then(|address| open.addresses.get_mut(&address)) {
            share.bytes -= self.bytes;
        }
    }
}

/// Bytes as the gauge counts them. It is of the process: what it shows is the sum of all servers in it.
#[allow(clippy::cast_precision_loss, reason = "a gauge")]
const fn shown(bytes: usize) -> f64 {
    bytes as f64
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        // What a connection held has gone before it: it holds the connection.
        if let Entry::Occupied(mut share) = self.of.open().addresses.entry(address) {
            share.get_mut().connections -= 1;
            if share.get().connections == 0 {
                share.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: usize, proxies: &[&str]) -> Arc<PerAddress> {
        PerAddress::new(NonZeroUsize::new(most), 8 << 20, proxies.iter().map(|ip| ip.parse().unwrap()).collect())
    }

    fn held(limit: &Arc<PerAddress>, ip: &str) -> Vec<Arc<Counted>> {
        std::iter::from_fn(|| limit.count(ip.parse().unwrap())).take(10).collect()
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let limit = limit(3, &[]);
        let one = held(&limit, "192.0.2.1");
        assert_eq!((one.len(), held(&limit, "192.0.2.2").len()), (3, 3));
        assert_eq!(held(&limit, "::ffff:192.0.2.1").len(), 0, "the same in IPv6's words");
        drop(one);
        assert!(limit.open().addresses.is_empty(), "nothing is kept of who has gone");
        assert_eq!(held(&limit, "192.0.2.1").len(), 3);
        let subscriber = held(&limit, "2001:db8::1");
        assert_eq!((subscriber.len(), held(&limit, "2001:db8:0:1::2").len()), (3, 0));
        assert_eq!(held(&limit, "2001:db8:1::1").len(), 3);
    }

    #[test]
    fn proxies_and_loopback_are_exempt() {
        assert_eq!(held(&limit(3, &[]), "127.0.0.1").len(), 10);
        assert_eq!(held(&limit(3, &[]), "::1").len(), 10);
        let behind = limit(3, &["192.0.2.9"]);
        assert_eq!((held(&behind, "192.0.2.9").len(), held(&behind, "127.0.0.1").len()), (10, 3));
        assert_eq!(held(&limit(0, &[]), "192.0.2.1").len(), 10, "zero is no limit");
    }

    #[test]
    fn an_address_holds_its_share_of_the_memory_and_all_together_no_more_than_all() {
        let limit = limit(0, &["192.0.2.9"]);
        let client = |ip: &str| limit.count(ip.parse().unwrap()).unwrap();
        let one = client("192.0.2.1");
        let mut held = Arc::clone(&one).held();
        assert!(held.hold(300_000) && held.hold(1 << 19) && !held.hold((1 << 19) + 1));
        assert!(held.hold(SMALL_LEN), "less than it has");
        assert!(!client("192.0.2.1").held().hold(SMALL_LEN + 1), "another connection of the same address");
        assert!(client("192.0.2.1").held().hold(SMALL_LEN), "what is small is not counted");
        let mut others = client("192.0.2.9").held();
        assert!(others.hold(15 << 19), "a proxy has no share");
        assert!(!client("192.0.2.2").held().hold(1 << 19), "all is taken");
        drop((one, held));
        assert!(client("192.0.2.2").held().hold(1 << 19));
        drop(others);
        let open = limit.open();
        assert_eq!((open.bytes, open.addresses.len()), (0, 0));
    }

    #[test]
    fn the_gauge_shows_what_all_servers_of_the_process_hold() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let shows = |bytes: &str| recorder.handle().render().contains(&format!("\n{HELD_BYTES} {bytes}\n"));
        metrics::with_local_recorder(&recorder, || {
            let held = || limit(0, &[]).count("127.0.0.1".parse().unwrap()).unwrap().held();
            let (mut one, mut other) = (held(), held());
            assert!(one.hold(300_000) && other.hold(1_000_000) && one.hold(400_000));
            assert!(!other.hold(9 << 20), "refused, and not counted");
            assert!(shows("1400000"));
            drop(one);
            assert!(shows("1000000"));
            drop(other);
            assert!(shows("0"));
        });
    }
}
