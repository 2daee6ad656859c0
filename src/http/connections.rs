//! How many connections one address may have at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::group;

/// Connections of one address, unless settings say otherwise: an eighth of all.
pub(super) const CONNECTIONS_PER_ADDRESS: NonZeroUsize = NonZeroUsize::new(2_048).expect("2,048 is not zero");

/// The connections of each address. It holds no more addresses than there are connections.
pub(super) struct PerAddress {
    most: Option<NonZeroUsize>,
    trusted_proxies: Vec<IpAddr>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts for as long as this lives.
pub(super) struct Counted {
    of: Arc<PerAddress>,
    address: Option<IpAddr>,
}

impl PerAddress {
    /// `None` is no limit. Many clients come from a proxy, so trusted ones have none; nor has loopback, where a proxy
    /// mostly stands, unless the proxies are named.
    pub(super) fn new(most: Option<NonZeroUsize>, trusted_proxies: Vec<IpAddr>) -> Arc<Self> {
        Arc::new(Self { most, trusted_proxies, open: Mutex::default() })
    }

    /// Counts a connection from an address; `None` where that has as many as it may have.
    pub(super) fn count(self: &Arc<Self>, ip: IpAddr) -> Option<Counted> {
        let limit = self.most.filter(|_| !self.is_exempt(ip.to_canonical()));
        let address = limit.is_some().then(|| group(ip));
        if let (Some(most), Some(address)) = (limit, address) {
            let mut open = self.open();
            let count = open.entry(address).or_default();
            if *count >= most.get() {
                return None;
            }
            *count += 1;
        }
        Some(Counted { of: Arc::clone(self), address })
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.contains(&ip) || (ip.is_loopback() && self.trusted_proxies.is_empty())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut count) = self.of.open().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: usize, proxies: &[&str]) -> Arc<PerAddress> {
        PerAddress::new(NonZeroUsize::new(most), proxies.iter().map(|ip| ip.parse().unwrap()).collect())
    }

    fn held(limit: &Arc<PerAddress>, ip: &str) -> Vec<Counted> {
        std::iter::from_fn(|| limit.count(ip.parse().unwrap())).take(10).collect()
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let limit = limit(3, &[]);
        let one = held(&limit, "192.0.2.1");
        assert_eq!((one.len(), held(&limit, "192.0.2.2").len()), (3, 3));
        assert_eq!(held(&limit, "::ffff:192.0.2.1").len(), 0, "the same in IPv6's words");
        drop(one);
        assert!(limit.open().is_empty(), "nothing is kept of who has gone");
        assert_eq!(held(&limit, "192.0.2.1").len(), 3);
        let subscriber = held(&limit, "2001:db8::1");
        assert_eq!((subscriber.len(), held(&limit, "2001:db8::2").len()), (3, 0));
        assert_eq!(held(&limit, "2001:db8:0:1::1").len(), 3);
    }

    #[test]
    fn proxies_and_loopback_are_exempt() {
        assert_eq!(held(&limit(3, &[]), "127.0.0.1").len(), 10);
        assert_eq!(held(&limit(3, &[]), "::1").len(), 10);
        let behind = limit(3, &["192.0.2.9"]);
        assert_eq!((held(&behind, "192.0.2.9").len(), held(&behind, "127.0.0.1").len()), (10, 3));
        assert_eq!(held(&limit(0, &[]), "192.0.2.1").len(), 10, "zero is no limit");
    }
}
