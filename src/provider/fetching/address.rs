//! Which addresses the server may fetch from: those that anybody on the Internet reaches, and no other.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6; RFC 6052 for IPv4 addresses
//! in IPv6 ones behind a translator; the clouds' documentation for the addresses of their metadata.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads an address with a prefix length, or a single address; `None` when it is neither, or has bits
    /// behind the prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        let network = Self { base, prefix };
        let has_no_rest = network.masked(base)? == bits(base);
        (prefix <= most && has_no_rest).then_some(network)
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(bits: u128, prefix: u8) -> Self {
        Self {
            base: IpAddr::V6(Ipv6Addr::from_bits(bits)),
            prefix,
        }
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.base.is_ipv4() == address.is_ipv4()
            && self.masked(address).is_some()
            && self.masked(address) == self.masked(self.base)
    }

    /// The bits of an address up to the prefix; `None` when the prefix is longer than an address.
    fn masked(&self, address: IpAddr) -> Option<u128> {
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let rest = u32::from(width.checked_sub(self.prefix)?);
        Some(bits(address).checked_shr(rest).unwrap_or(0) << (rest % 128))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// IPv4 that is not everybody's.
const CLOSED_V4: &[Network] = &[
    // This host, and what is not known yet.
    Network::v4(0, 0, 0, 0, 8),
    // Private.
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 168, 0, 0, 16),
    // Shared by a carrier's customers.
    Network::v4(100, 64, 0, 0, 10),
    // Loopback, link-local.
    Network::v4(127, 0, 0, 0, 8),
    Network::v4(169, 254, 0, 0, 16),
    // Assignments of protocols, and the relays and sinks that are reached by anycast.
    Network::v4(192, 0, 0, 0, 24),
    Network::v4(192, 31, 196, 0, 24),
    Network::v4(192, 52, 193, 0, 24),
    Network::v4(192, 88, 99, 0, 24),
    Network::v4(192, 175, 48, 0, 24),
    // Documentation, benchmarks.
    Network::v4(192, 0, 2, 0, 24),
    Network::v4(198, 51, 100, 0, 24),
    Network::v4(203, 0, 113, 0, 24),
    Network::v4(198, 18, 0, 0, 15),
    // Multicast, reserved, broadcast.
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
];

/// The only IPv6 that is given out to everybody.
const GLOBAL_V6: Network = Network::v6(0x2000 << 112, 3);

/// What of it is not everybody's.
const CLOSED_V6: &[Network] = &[
    // Assignments of protocols, Teredo and benchmarks among them.
    Network::v6(0x2001 << 112, 23),
    // Documentation.
    Network::v6(0x2001_0db8 << 96, 32),
    Network::v6(0x3fff << 112, 20),
    // 6to4: an IPv4 address in disguise, by a relay that nobody knows.
    Network::v6(0x2002 << 112, 16),
];

/// IPv6 that a translator turns into the IPv4 address in its last 32 bits.
const TRANSLATED: Network = Network::v6(0x0064_ff9b << 96, 96);

/// Where clouds answer questions about a machine, its credentials among them. Never fetched from,
/// whatever the operator allows.
const METADATA: &[Network] = &[
    Network::v4(169, 254, 169, 254, 32),
    Network::v4(169, 254, 170, 2, 32),
    Network::v4(169, 254, 170, 23, 32),
    Network::v4(100, 100, 100, 200, 32),
    Network::v4(168, 63, 129, 16, 32),
    Network::v4(192, 0, 0, 192, 32),
    Network::v6(0xfd00_0ec2 << 96 | 0x0254, 128),
    Network::v6(0xfd00_0ec2 << 96 | 0x0023, 128),
    Network::v6(0xfd20_00ce << 96 | 0x0254, 128),
];

/// Which addresses may be fetched from.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Networks that are not everybody's, and are allowed all the same.
    pub allowed: Vec<Network>,
}

impl Filter {
    /// Whether an address may be fetched from.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let address = plain(address);
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        !is_in(METADATA) && (is_public(address) || is_in(&self.allowed))
    }
}

/// The IPv4 address that an IPv6 one stands for, where it stands for one.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.to_ipv4_mapped() {
        Some(v4) => v4.into(),
        None if TRANSLATED.contains(address) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        None => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
    match address {
        IpAddr::V4(_) => !is_in(CLOSED_V4) && !is_in(METADATA),
        IpAddr::V6(v6) => {
            GLOBAL_V6.contains(address) && !is_in(CLOSED_V6) && !is_automatic_tunnel(v6)
        }
    }
}

/// ISATAP: the interface is named after an IPv4 address, to which a router may pass the packet on.
fn is_automatic_tunnel(address: Ipv6Addr) -> bool {
    let [_, _, _, _, first, second, ..] = address.segments();
    second == 0x5efe && first & !0x0200 == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn permits(text: &str) -> bool {
        Filter::default().permits(address(text))
    }

    #[test]
    fn what_everybody_reaches_is_permitted() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffe::1",
        ] {
            assert!(permits(text), "{text}");
        }
    }

    #[test]
    fn what_is_somebodys_own_is_not() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
        ] {
            assert!(!permits(text), "{text}");
        }
    }

    #[test]
    fn an_operator_may_allow_more_but_never_metadata() {
        let allowed = ["10.1.0.0/16", "127.0.0.1", "169.254.0.0/16", "fd00::/8"];
        let filter = Filter {
            allowed: allowed.map(|text| Network::parse(text).unwrap()).to_vec(),
        };
        for text in [
            "10.1.2.3",
            "127.0.0.1",
            "::ffff:10.1.2.3",
            "169.254.7.7",
            "fd12::1",
        ] {
            assert!(filter.permits(address(text)), "{text}");
        }
        for text in [
            "10.2.0.1",
            "127.0.0.2",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "::1",
        ] {
            assert!(!filter.permits(address(text)), "{text}");
        }
    }

    #[test]
    fn a_network_is_an_address_with_a_prefix_and_nothing_behind_it() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(format!("{:?}", Network::parse(text).unwrap()), shown);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "::/129",
            "::1/64",
            "host",
            "10.0.0.0/x",
            "10.0.0.0/-1",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
        let everything = Network::parse("0.0.0.0/0").unwrap();
        assert!(everything.contains(address("255.1.2.3")));
        assert!(!everything.contains(address("::1")));
    }

    proptest! {
        /// What the standard library knows of IPv4, against the tables.
        #[test]
        fn no_address_that_the_standard_library_calls_special_is_permitted(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let is_special = v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified();
            prop_assert!(!(is_special && Filter::default().permits(v4.into())), "{v4}");
        }

        #[test]
        fn an_ipv4_address_is_judged_alike_in_every_disguise(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let permitted = Filter::default().permits(v4.into());
            let mapped = v4.to_ipv6_mapped();
            let translated = Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(bits));
            prop_assert_eq!(Filter::default().permits(mapped.into()), permitted, "{}", mapped);
            prop_assert_eq!(Filter::default().permits(translated.into()), permitted, "{}", translated);
        }

        #[test]
        fn no_other_disguise_of_an_ipv4_address_is_permitted(bits in any::<u32>(), rest in any::<u64>()) {
            let (v4, rest) = (u128::from(bits), u128::from(rest));
            for disguise in [
                v4,
                0x2002 << 112 | v4 << 80 | rest,
                0x2001 << 112 | v4 << 64 | rest,
                0x0064_ff9b_0001 << 80 | rest << 32 | v4,
                0x2606_4700 << 96 | 0x0000_5efe << 32 | v4,
            ] {
                let address = Ipv6Addr::from_bits(disguise);
                prop_assert!(!Filter::default().permits(address.into()), "{address}");
            }
        }

        #[test]
        fn only_global_unicast_is_permitted_of_ipv6(bits in any::<u128>()) {
            let v6 = Ipv6Addr::from_bits(bits);
            let permitted = Filter::default().permits(v6.into());
            let is_global = v6.segments()[0] & 0xe000 == 0x2000;
            prop_assert!(!permitted || is_global || v6.to_ipv4_mapped().is_some(), "{v6}");
        }

        #[test]
        fn a_network_contains_what_shares_its_prefix(bits in any::<u32>(), prefix in 0_u8..=32, other in any::<u32>()) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let base = Ipv4Addr::from_bits(bits & mask);
            let network = Network::parse(&format!("{base}/{prefix}")).unwrap();
            let address = Ipv4Addr::from_bits(other);
            prop_assert_eq!(network.contains(address.into()), other & mask == bits & mask);
        }
    }
}
