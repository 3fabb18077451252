use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Where a replica answers: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    authority: String,
    /// None where the host is a name, which is looked up for each connection.
    address: Option<SocketAddr>,
}

/// A base URL that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is not the base URL of a replica; it must be `http://HOST:PORT`")]
pub(crate) struct OriginError {
    url: String,
}

impl Origin {
    /// Parses a base URL; nothing is looked up.
    pub(crate) fn parse(url: &str) -> Result<Self, OriginError> {
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|rest| is_host_and_port(rest))
            .ok_or_else(|| OriginError { url: url.to_owned() })?;
        Ok(Self { authority: authority.to_owned(), address: authority.parse().ok() })
    }

    /// `HOST:PORT`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        match self.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(&*self.authority).await,
        }
    }
}

fn is_host_and_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(host, port)| {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(is_host) && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_host_and_a_port() {
        for good in ["http://127.0.0.1:8000", "http://[::1]:8000/", "http://gpu-1.internal:80"] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "https://127.0.0.1:8000",
            "http://127.0.0.1",
            "http://127.0.0.1:99999",
            "http://:80",
            "http://a:80/path",
            "http://user@a:80",
            "http://a b:80",
        ] {
            let error = Origin::parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[tokio::test]
    async fn a_host_name_is_looked_up_when_it_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let origin = Origin::parse(&format!("http://localhost:{port}")).unwrap();
        assert!(origin.connect().await.is_ok());
    }
}
