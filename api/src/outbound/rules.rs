//! What an installation wants to reach though it is not public.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::inward;

/// Networks and hosts that requests may go to nevertheless. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundRules {
    networks: Vec<IpNet>,
    hosts: BTreeSet<String>,
    /// Whether nobody can open more.
    is_fixed: bool,
}

/// A text that names neither a network nor a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a network, an address nor a host; use `10.0.0.0/8`, `127.0.0.1` or `hooks.internal`"
)]
pub struct InvalidRule(String);

impl OutboundRules {
    /// Reads networks (`10.0.0.0/8`), addresses (`127.0.0.1`) and hosts (`hooks.internal`).
    pub fn parse<T: AsRef<str>>(rules: &[T]) -> Result<Self, InvalidRule> {
        let mut read = Self::default();
        for rule in rules.iter().map(AsRef::as_ref) {
            let address = || rule.parse::<IpAddr>().ok().map(IpNet::from);
            if let Some(network) = rule.parse().ok().or_else(address) {
                read.networks.push(network);
            } else if is_host(rule) {
                read.hosts.insert(plain(rule));
            } else {
                return Err(InvalidRule(rule.to_owned()));
            }
        }
        Ok(read)
    }

    /// The same rules where an operator cannot open more: whoever is refused is not told how.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { is_fixed: true, ..self }
    }

    /// What an operator can do about a refusal.
    pub(super) fn advice(&self) -> &'static str {
        if self.is_fixed {
            "use a public address"
        } else {
            "an operator can open it with `http_allow` in `[jobs]`"
        }
    }

    /// Whether whatever address this host has may be reached.
    pub(super) fn opens(&self, host: &str) -> bool {
        self.hosts.contains(&plain(host))
    }

    /// What an address is, if it must not be reached.
    pub(super) fn refuse(&self, address: IpAddr) -> Option<&'static str> {
        let is_open = self.networks.iter().any(|network| network.contains(&address));
        inward(address).filter(|_| !is_open)
    }
}

/// A host in the one form that it is compared in.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_host(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(is_part)
        // Otherwise it is an address that is written wrongly.
        && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_open_networks_addresses_and_hosts() {
        let rules = ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "Hooks.Internal"];
        let rules = OutboundRules::parse(&rules).unwrap();
        for (address, is_refused) in [
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", false),
            ("fc00::1", true),
            ("1.1.1.1", false),
        ] {
            let refused = rules.refuse(address.parse().unwrap());
            assert_eq!(refused.is_some(), is_refused, "{address}");
        }
        assert!(rules.opens("hooks.internal") && rules.opens("HOOKS.internal."));
        assert!(!rules.opens("internal") && !rules.opens("a.hooks.internal"));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for rule in ["", "10.0.0.0/33", "10.0.0", "http://host", "a host", "host:80", ".", "a..b"] {
            assert!(OutboundRules::parse(&[rule]).is_err(), "{rule}");
        }
    }
}
