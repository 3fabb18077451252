use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::exit::{Failure, Kind};

/// Where `diogenes serve` listens unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Where a Diogenes answers: scheme, host, and a path that a gateway may put in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(Url);

impl Address {
    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.0.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => false,
        }
    }

    /// Whether its host is an address of this machine: the system lets only those be bound.
    pub(crate) fn is_here(&self) -> bool {
        let host = self.0.host_str().map(|host| host.trim_matches(['[', ']']));
        let address = host.and_then(|host| host.parse::<std::net::IpAddr>().ok());
        self.is_loopback()
            || address.is_some_and(|address| std::net::UdpSocket::bind((address, 0)).is_ok())
    }

    /// Whether it asks for TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The same address without TLS.
    pub(super) fn without_tls(&self) -> Self {
        let mut url = self.0.clone();
        // `https` without a port means 443, which has to be written out for `http`.
        let port = url.port_or_known_default();
        // Both only fail for schemes that parsing has refused.
        let _ = url.set_scheme("http");
        let _ = url.set_port(port);
        Self(url)
    }

    /// The URL of a path, given as its segments, each encoded.
    pub(crate) fn join(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        if let Some(lost) = path.iter().find(|segment| matches!(**segment, "." | "..")) {
            return Err(Kind::Config
                .because(format!("a name with `{lost}` between slashes cannot be part of a URL")));
        }
        let mut url = self.0.clone();
        // Only a URL such as `mailto:` has no segments, and parsing refuses those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// The path of a model; the slashes of its name stay as they are.
pub(crate) fn model_path(name: &str) -> Vec<&str> {
    ["api", "v1", "models"].into_iter().chain(name.split('/')).collect()
}

/// The path of a route; the slashes of its name stay as they are.
pub(crate) fn route_path(name: &str) -> Vec<&str> {
    ["api", "v1", "routes"].into_iter().chain(name.split('/')).collect()
}

/// The path of the rate card of a model; the slashes of its name stay as they are.
pub(crate) fn rate_card_path(name: &str) -> Vec<&str> {
    ["api", "v1", "rate-cards"].into_iter().chain(name.split('/')).collect()
}

/// The path of a budget; the slashes of its id stay as they are.
pub(crate) fn budget_path(id: &str) -> Vec<&str> {
    ["api", "v1", "budgets"].into_iter().chain(id.split('/')).collect()
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let wrong = || format!("`{text}` is not a URL; write it like {DEFAULT_URL}");
        let mut url: Url = whole.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL must not contain a password; keys go into --api-key".into());
        }
        url.set_query(None);
        url.set_fragment(None);
        // The base URL of OpenAI's clients is welcome too.
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().expect(text)
    }

    #[test]
    fn a_url_is_read_as_people_write_it() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("localhost:9000", "http://localhost:9000"),
            ("http://box:8080/v1", "http://box:8080"),
            (
                "https://x.execute-api.eu-west-1.amazonaws.com/prod/v1/",
                "https://x.execute-api.eu-west-1.amazonaws.com/prod",
            ),
        ] {
            assert_eq!(address(text).to_string(), expected);
        }
        for text in ["", "ftp://x", "http://", "http://me:pw@box", "a b"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_models_name_keeps_its_slashes_and_nothing_else() {
        let url = address("http://h/prod").join(&model_path("Qwen/Qwen3 8B?#%é"), &[]);
        assert_eq!(
            url.expect("valid").as_str(),
            "http://h/prod/api/v1/models/Qwen/Qwen3%208B%3F%23%25%C3%A9"
        );
        assert!(address("http://h").join(&model_path("a/../keys"), &[]).is_err());
    }

    #[test]
    fn a_query_is_encoded() {
        let url = address("http://h").join(&["x"], &[("email", "a+b@c&d")]).expect("valid");
        assert_eq!(url.as_str(), "http://h/x?email=a%2Bb%40c%26d");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.2:1", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(address(text).is_loopback(), expected, "{text}");
        }
    }
}
