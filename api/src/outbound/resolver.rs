//! From names to addresses, without those that lead inward.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::rules::OutboundRules;

/// A name or an address that leads inward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, which requests may not be sent to; {advice}", self.place())]
pub struct Inward {
    pub(super) host: String,
    pub(super) address: IpAddr,
    pub(super) what: &'static str,
    pub(super) advice: &'static str,
}

impl Inward {
    fn place(&self) -> String {
        let Self { host, address, what, .. } = self;
        if host.trim_matches(['[', ']']) == address.to_string() {
            format!("{address} is {what}")
        } else {
            format!("`{host}` leads to {address}, {what}")
        }
    }
}

/// Who knows the addresses of names.
pub(super) trait Names: Send + Sync + 'static {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The resolver of the client. What it returns is what is connected to: there is no second look.
pub(super) struct Guarded {
    pub(super) names: Arc<dyn Names>,
    pub(super) rules: Arc<OutboundRules>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, rules) = (self.names.addresses(host.clone()), self.rules.clone());
        Box::pin(async move {
            let found = found.await?;
            if rules.opens(&host) {
                return Ok(addresses(found));
            }
            let mut inward = None;
            let mut open = Vec::new();
            for address in found {
                match rules.refuse(address) {
                    Some(what) => {
                        let (host, advice) = (host.clone(), rules.advice());
                        inward = inward.or(Some(Inward { host, address, what, advice }));
                    }
                    None => open.push(address),
                }
            }
            match inward {
                Some(inward) if open.is_empty() => Err(inward.into()),
                _ => Ok(addresses(open)),
            }
        })
    }
}

/// The port is that of the URL.
fn addresses(found: Vec<IpAddr>) -> Addrs {
    Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)))
}
