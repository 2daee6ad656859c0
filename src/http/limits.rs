//! How much one address or one identity may ask for. Reading is bounded by connections, not by count.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::app::App;
use super::problem::{HttpError, HttpResult};
use crate::node::Share;
use crate::soul::Identity;

/// Rates; `None` is no limit.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Writing requests a minute from one address.
    pub writes_per_minute: Option<NonZeroU32>,
    /// Registrations an hour from one address.
    pub registrations_per_hour: Option<NonZeroU32>,
    /// Links a second of one identity.
    pub links_per_second: Option<NonZeroU32>,
    /// Key events (`keys`, `recover`, `revoke_agent`) a minute: requests of nothing else from one address, and those of
    /// one identity, where what an admin key and what the next key signs count apart. They count for nothing above, and
    /// what is above for nothing here.
    pub key_events_per_minute: Option<NonZeroU32>,
    /// Proxies whose `X-Forwarded-For` is believed. When there are any, loopback is limited like everybody.
    pub trusted_proxies: Vec<IpAddr>,
}

/// Links that one identity may append at once, whatever its rate: those of one request.
const LINK_BURST: u32 = 256;
/// Keys that a limiter may hold before those at rest are let go.
const SWEEP_AT: usize = 100_000;

/// The limiters of a server.
pub struct Limits {
    writes: Option<DefaultKeyedRateLimiter<IpAddr>>,
    registrations: Option<DefaultKeyedRateLimiter<IpAddr>>,
    links: Option<DefaultKeyedRateLimiter<Identity>>,
    key_event_requests: Option<DefaultKeyedRateLimiter<IpAddr>>,
    key_events: Option<DefaultKeyedRateLimiter<(Identity, Signer)>>,
    trusted_proxies: Vec<IpAddr>,
}

/// Which key signs a key event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Signer {
    Admin,
    Next,
}

/// Where a request comes from; `None` where it is exempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(Option<IpAddr>);

/// Put into each request by the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddr(pub(crate) SocketAddr);

impl Limits {
    /// Limiters by these settings.
    pub fn new(settings: &LimitSettings) -> Self {
        let hourly = |count: NonZeroU32| {
            // A quota with a period that is not zero exists.
            Quota::with_period(Duration::from_hours(1) / count.get()).map(|quota| quota.allow_burst(count))
        };
        let links = |rate: NonZeroU32| {
            let burst = NonZeroU32::new(LINK_BURST).map_or(rate, |burst| burst.max(rate));
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        };
        Self {
            writes: settings.writes_per_minute.map(|count| RateLimiter::keyed(Quota::per_minute(count))),
            registrations: settings.registrations_per_hour.and_then(hourly).map(RateLimiter::keyed),
            links: settings.links_per_second.map(links),
            key_event_requests: settings
                .key_events_per_minute
                .map(|count| RateLimiter::keyed(Quota::per_minute(count))),
            key_events: settings.key_events_per_minute.map(|count| RateLimiter::keyed(Quota::per_minute(count))),
            trusted_proxies: settings.trusted_proxies.clone(),
        }
    }

    pub(crate) fn check_write(&self, peer: &Peer) -> HttpResult<()> {
        check(self.writes.as_ref(), peer.0, 1, "writing requests")
    }

    pub(crate) fn check_registration(&self, peer: &Peer) -> HttpResult<()> {
        check(self.registrations.as_ref(), peer.0, 1, "registrations")
    }

    /// For a request of key events alone.
    pub(crate) fn check_key_events(&self, peer: &Peer) -> HttpResult<()> {
        check(self.key_event_requests.as_ref(), peer.0, 1, "key events")
    }

    pub(crate) fn check_identity(&self, identity: &Identity, share: Share) -> HttpResult<()> {
        let key_events = |signer, count: usize| {
            check(self.key_events.as_ref(), Some((*identity, signer)), count as u32, "key events of this identity")
        };
        check(self.links.as_ref(), Some(*identity), share.links as u32, "links of this identity")?;
        key_events(Signer::Admin, share.key_events)?;
        key_events(Signer::Next, share.by_next)
    }

    fn peer(&self, addr: Option<SocketAddr>, headers: &HeaderMap) -> Peer {
        let Some(addr) = addr else { return Peer(None) };
        let ip = addr.ip().to_canonical();
        if self.trusted_proxies.contains(&ip) {
            return Peer(Some(self.forwarded(headers).map_or(ip, group)));
        }
        Peer(Some(group(ip)).filter(|_| !(ip.is_loopback() && self.trusted_proxies.is_empty())))
    }

    /// The last address that is no trusted proxy: the one that the first of them saw itself.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
        let mut seen = lines.flat_map(|line| line.rsplit(',')).map(|text| text.trim().parse::<IpAddr>());
        seen.find_map(|ip| match ip {
            Ok(ip) if self.trusted_proxies.contains(&ip.to_canonical()) => None,
            other => Some(other.ok()),
        })?
    }
}

/// Who is counted as one where rates are limited: of IPv6 a /64, which one subscriber has at least.
fn group(ip: IpAddr) -> IpAddr {
    prefix(ip, 64)
}

/// Who has one share of what a few could use up: of IPv6 a /48, which one subscriber may have. A share is so large that
/// neighbours get on with it.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    prefix(ip, 48)
}

fn prefix(ip: IpAddr, ipv6_bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - ipv6_bits)))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(
    limiter: Option<&DefaultKeyedRateLimiter<K>>,
    key: Option<K>,
    count: u32,
    what: &str,
) -> HttpResult<()> {
    let (Some(limiter), Some(key), Some(count)) = (limiter, key, NonZeroU32::new(count)) else { return Ok(()) };
    if limiter.len() > SWEEP_AT {
        limiter.retain_recent();
    }
    match limiter.check_key_n(&key, count) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(not_until)) => {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Err(HttpError::rate_limited(what, wait.as_secs() + 1))
        }
        // More at once than any burst: no waiting helps.
        Err(_) => Err(HttpError::rate_limited(what, 1)),
    }
}

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let addr = parts.extensions.get::<PeerAddr>().map(|PeerAddr(addr)| *addr);
        Ok(app.limits.peer(addr, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(proxies: &[&str]) -> Limits {
        Limits::new(&LimitSettings {
            writes_per_minute: NonZeroU32::new(2),
            registrations_per_hour: NonZeroU32::new(1),
            links_per_second: None,
            key_events_per_minute: NonZeroU32::new(2),
            trusted_proxies: proxies.iter().map(|ip| ip.parse().unwrap()).collect(),
        })
    }

    fn peer(limits: &Limits, ip: &str, forwarded: Option<&str>) -> Peer {
        let mut headers = HeaderMap::new();
        if let Some(list) = forwarded {
            headers.insert("x-forwarded-for", list.parse().unwrap());
        }
        limits.peer(Some(SocketAddr::new(ip.parse().unwrap(), 1)), &headers)
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let limits = limits(&[]);
        let one = peer(&limits, "192.0.2.1", None);
        assert!(limits.check_write(&one).is_ok() && limits.check_write(&one).is_ok());
        assert!(limits.check_write(&one).is_err());
        assert!(limits.check_write(&peer(&limits, "192.0.2.2", None)).is_ok());
        assert!(limits.check_registration(&one).is_ok() && limits.check_registration(&one).is_err());
    }

    #[test]
    fn key_events_have_a_share_of_their_own() {
        let limits = limits(&[]);
        let one = peer(&limits, "192.0.2.1", None);
        while limits.check_write(&one).is_ok() {}
        assert!(limits.check_key_events(&one).is_ok() && limits.check_key_events(&one).is_ok());
        assert!(limits.check_key_events(&one).is_err());
        let other = peer(&limits, "192.0.2.2", None);
        while limits.check_key_events(&other).is_ok() {}
        assert!(limits.check_write(&other).is_ok());
        // What one key of an identity uses up, the other still has.
        let (id, admin) = (Identity::from_bytes([1; 32]), Share { key_events: 1, ..Share::default() });
        while limits.check_identity(&id, admin).is_ok() {}
        assert!(limits.check_identity(&id, Share { by_next: 1, ..Share::default() }).is_ok());
        assert!(limits.check_identity(&id, Share { links: 1, ..Share::default() }).is_ok());
        assert!(limits.check_identity(&Identity::from_bytes([2; 32]), admin).is_ok());
    }

    #[test]
    fn loopback_is_exempt_unless_it_is_a_proxy() {
        assert!(peer(&limits(&[]), "127.0.0.1", Some("192.0.2.9")).0.is_none());
        let behind = limits(&["127.0.0.1"]);
        assert_eq!(peer(&behind, "127.0.0.1", Some("198.51.100.1, 192.0.2.9")).0, "192.0.2.9".parse().ok());
        assert_eq!(peer(&behind, "127.0.0.1", None).0, "127.0.0.1".parse().ok());
        // Who is no trusted proxy cannot name another.
        assert_eq!(peer(&behind, "192.0.2.5", Some("192.0.2.9")).0, "192.0.2.5".parse().ok());
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_address() {
        assert_eq!(group("2001:db8::1:2:3:4".parse().unwrap()), group("2001:db8::5:6:7:8".parse().unwrap()));
        assert_ne!(group("2001:db8:0:1::1".parse().unwrap()), group("2001:db8:0:2::1".parse().unwrap()));
        assert_eq!(group("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
