//! Which addresses are of no public host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The networks of IPv4 that are not public, by IANA's registry of special-purpose addresses.
const V4: [(Ipv4Net, &str); 16] = [
    (v4([0, 0, 0, 0], 8), "an unspecified address"),
    (v4([10, 0, 0, 0], 8), "a private address"),
    (v4([100, 64, 0, 0], 10), "an address of a carrier's own network"),
    (v4([127, 0, 0, 0], 8), "a loopback address"),
    // With the metadata services of most clouds; those of two others are in 100.64/10 and 192.0.0/24.
    (v4([169, 254, 0, 0], 16), "a link-local address"),
    (v4([172, 16, 0, 0], 12), "a private address"),
    (v4([192, 0, 0, 0], 24), "an address for protocols"),
    (v4([192, 0, 2, 0], 24), "an address for documentation"),
    (v4([192, 88, 99, 0], 24), "an address of a 6to4 relay"),
    (v4([192, 168, 0, 0], 16), "a private address"),
    (v4([198, 18, 0, 0], 15), "an address for benchmarks"),
    (v4([198, 51, 100, 0], 24), "an address for documentation"),
    (v4([203, 0, 113, 0], 24), "an address for documentation"),
    // Public by its number, and reachable from within Azure alone.
    (v4([168, 63, 129, 16], 32), "the address of Azure's services for its machines"),
    (v4([224, 0, 0, 0], 4), "a multicast address"),
    (v4([240, 0, 0, 0], 4), "a reserved address"),
];

/// The networks within 2000::/3 that are not public; nothing outside it is.
const V6: [(Ipv6Net, &str); 4] = [
    (v6([0x2001, 0], 23), "an address for protocols"),
    (v6([0x2001, 0xdb8], 32), "an address for documentation"),
    (v6([0x2002, 0], 16), "an address of 6to4, which holds another one"),
    (v6([0x3fff, 0], 20), "an address for documentation"),
];

/// Those outside it whose names help whoever reads the message.
const NAMED_V6: [(Ipv6Net, &str); 6] = [
    (v6([0x64, 0xff9b], 32), "an address of NAT64, which holds another one"),
    (v6([0xfc00, 0], 7), "a private address"),
    (v6([0xfe80, 0], 10), "a link-local address"),
    (v6([0xfec0, 0], 10), "a private address"),
    (v6([0xff00, 0], 8), "a multicast address"),
    (v6([0x100, 0], 64), "an address that discards"),
];

const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6([a, b]: [u16; 2], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), bits)
}

/// What an address is, if it is not one of a public host.
pub fn inward(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
        }
        IpAddr::V6(address) if GLOBAL_V6.contains(&address) => {
            V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
        }
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("an unspecified address"),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some("a loopback address"),
        IpAddr::V6(address) if address.to_ipv4().is_some() => Some("an IPv4 address within IPv6"),
        IpAddr::V6(address) => {
            let named = NAMED_V6.iter().find(|(network, _)| network.contains(&address));
            Some(named.map_or("not a public address", |(_, what)| *what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inward_are_told_from_public_ones() {
        for (address, is_inward) in [
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.100.100.200", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("168.63.129.16", true),
            ("169.254.169.254", true),
            ("169.254.170.2", true),
            ("172.15.255.255", false),
            ("172.16.0.1", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.0.0.192", true),
            ("192.0.2.1", true),
            ("192.88.99.1", true),
            ("192.167.255.255", false),
            ("192.168.1.1", true),
            ("198.17.255.255", false),
            ("198.18.0.1", true),
            ("198.19.255.255", true),
            ("198.51.100.7", true),
            ("203.0.113.7", true),
            ("224.0.0.1", true),
            ("239.255.255.255", true),
            ("240.0.0.1", true),
            ("255.255.255.255", true),
            ("1.1.1.1", false),
            ("93.184.216.34", false),
            ("::", true),
            ("::1", true),
            ("::2", true),
            ("::127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:93.184.216.34", true),
            ("::ffff:0:127.0.0.1", true),
            ("64:ff9b::7f00:1", true),
            ("64:ff9b:1::1", true),
            ("100::1", true),
            ("2001::1", true),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", true),
            ("2001:20::1", true),
            ("2001:db8::1", true),
            ("2001:200::1", false),
            ("2002:7f00:1::", true),
            ("2606:4700:4700::1111", false),
            ("2a00:1450:4001::200e", false),
            ("3fff::1", true),
            ("4000::1", true),
            ("5f00::1", true),
            ("fc00::1", true),
            ("fd00:ec2::254", true),
            ("fe80::1", true),
            ("fec0::1", true),
            ("ff02::1", true),
        ] {
            let found = inward(address.parse().unwrap());
            assert_eq!(found.is_some(), is_inward, "{address}: {found:?}");
        }
    }
}
