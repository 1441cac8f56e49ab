//! A network of addresses: `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`.

use std::fmt;
use std::net::IpAddr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// Length of the prefix in bits.
    bits: u8,
}

impl Network {
    /// None for anything else, and for a network whose address has bits behind its prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().ok()?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
        };
        let network = Self { first, bits };
        (network.prefix(first) == Some(bits_of(first))).then_some(network)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix(address).is_some_and(|prefix| prefix == bits_of(self.first))
    }

    /// The address without the bits behind our prefix; none for one of the other kind.
    fn prefix(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.first.is_ipv4() {
            return None;
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let behind = width - u32::from(self.bits);
        Some(bits_of(address).checked_shr(behind).map_or(0, |bits| bits << behind))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.first.is_ipv4() { 32 } else { 128 };
        match self.bits {
            bits if bits == whole => write!(f, "{}", self.first),
            bits => write!(f, "{}/{bits}", self.first),
        }
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_like_it() {
        let rows = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "2001:db8::1", true),
        ];
        for (network, address, held) in rows {
            let parsed = Network::parse(network).unwrap_or_else(|| panic!("{network}"));
            assert_eq!(parsed.contains(address.parse().expect("an address")), held, "{network} {address}");
            assert_eq!(parsed.to_string(), network);
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in
            ["", "10", "10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "::1/-1", "10.0.0.0/", "localhost", "127.0.0.1:80"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
