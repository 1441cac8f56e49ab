//! Who sent a request: the peer, or whom a proxy of ours says it speaks for.
//!
//! `X-Forwarded-For` is read only from proxies that the config names, and from its right end: each proxy appends whom it heard
//! it from, so the last entry that isn't one of our proxies is the first that nobody of ours vouches for; what stands left of
//! it, anybody may have written. A proxy that names nobody, or something that is no address, stands for many, and no quota
//! holds for it. Limits: [`HOPS_MAX`] entries; an IPv6 caller is its network of 64 bits.

use std::net::{IpAddr, Ipv6Addr};

use hyper::HeaderMap;

use crate::config::Network as Configured;

/// The most entries that are looked at.
const HOPS_MAX: usize = 16;

const FORWARDED: &str = "x-forwarded-for";

/// The caller as quotas and limits know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(Option<Network>);

/// What one subscriber of the Internet commonly has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Origin {
    /// The peer itself; a proxy of ours is nobody in particular.
    pub(super) fn of_peer(peer: IpAddr, proxies: &[Configured]) -> Self {
        let peer = peer.to_canonical();
        Self((!is_ours(peer, proxies)).then(|| Network::of(peer)))
    }

    /// The peer, or whom our proxies heard the request from.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[Configured]) -> Self {
        let direct = Self::of_peer(peer, proxies);
        if direct.0.is_some() {
            return direct;
        }
        let hops =
            headers.get_all(FORWARDED).iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS_MAX) {
            match address(hop) {
                Some(address) if is_ours(address, proxies) => {}
                Some(address) => return Self(Some(Network::of(address))),
                None => return Self(None),
            }
        }
        Self(None)
    }

    pub(super) const fn network(self) -> Option<Network> {
        self.0
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(address),
            IpAddr::V6(six) => Self(IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)))),
        }
    }
}

fn is_ours(address: IpAddr, proxies: &[Configured]) -> bool {
    proxies.iter().any(|proxy| proxy.contains(address))
}

fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, forwarded: &[&str]) -> Option<String> {
        let proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|text| Configured::parse(text).expect("a network"));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED, value.parse().expect("a value"));
        }
        Origin::of(peer.parse().expect("an address"), &headers, &proxies).0.map(|network| network.0.to_string())
    }

    #[test]
    fn a_caller_is_who_our_proxies_heard_it_from_and_nobody_elses_word_counts() {
        let rows: [(&str, &[&str], Option<&str>, &str); 14] = [
            ("192.0.2.1", &[], Some("192.0.2.1"), "itself"),
            ("192.0.2.1", &["198.51.100.7"], Some("192.0.2.1"), "a stranger's word about itself is nothing"),
            ("127.0.0.1", &["198.51.100.7"], Some("198.51.100.7"), "our proxy's word counts"),
            ("::ffff:127.0.0.1", &["::ffff:198.51.100.7"], Some("198.51.100.7"), "IPv4 in IPv6 is IPv4"),
            ("127.0.0.1", &["203.0.113.9, 198.51.100.7"], Some("198.51.100.7"), "what is left of it may be forged"),
            ("127.0.0.1", &["203.0.113.9", "198.51.100.7"], Some("198.51.100.7"), "lines are one list"),
            ("127.0.0.1", &["198.51.100.7, 10.1.2.3"], Some("198.51.100.7"), "our own proxies are passed over"),
            ("127.0.0.1", &["198.51.100.7,[fd00::1]"], Some("198.51.100.7"), "in brackets too"),
            ("127.0.0.1", &["2001:db8:1:2:3:4:5:6"], Some("2001:db8:1:2::"), "a network of 64 bits"),
            ("127.0.0.1", &[], None, "a proxy that names nobody"),
            ("127.0.0.1", &["10.1.2.3"], None, "or only ours"),
            ("127.0.0.1", &["198.51.100.7, unknown"], None, "or nobody that we understand"),
            ("127.0.0.1", &["198.51.100.7:1234"], None, "or with a port"),
            ("127.0.0.1", &[""], None, "or nothing"),
        ];
        for (peer, forwarded, wanted, sentence) in rows {
            assert_eq!(origin(peer, forwarded).as_deref(), wanted, "{sentence}: {peer} {forwarded:?}");
        }
        let many = vec!["10.0.0.1"; HOPS_MAX].join(",");
        assert_eq!(origin("127.0.0.1", &[&format!("198.51.100.7,{many}")]), None, "beyond the last hop nobody looks");
    }
}
