use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::resolver::Names;
use super::{Outbound, OutboundError, OutboundRequest, OutboundResponse, OutboundRules};

/// Resolves every name to these addresses.
struct Fixed(Vec<IpAddr>);

impl Names for Fixed {
    fn addresses(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

/// Resolves a name to a public address once, and to loopback from then on.
#[derive(Default)]
struct Rebinding(AtomicUsize);

impl Names for Rebinding {
    fn addresses(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if is_first { [192, 0, 2, 1] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok(vec![address.into()]) })
    }
}

/// A server that sends `answer` to whoever connects, and leaves the connection open if it `hangs`.
/// Returns its address and how many have connected.
async fn server(answer: &'static [u8], hangs: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connected = Arc::new(AtomicUsize::new(0));
    let counter = connected.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer).await;
            if hangs {
                open.push(socket);
            }
        }
    });
    (address, connected)
}

fn open() -> Outbound {
    Outbound::new(OutboundRules::parse(&["127.0.0.1"]).unwrap()).unwrap()
}

async fn ask(outbound: &Outbound, url: &str) -> Result<OutboundResponse, OutboundError> {
    let request = OutboundRequest {
        method: Method::GET,
        to: outbound.destination(url)?,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_millis(500),
        most_body: 10,
    };
    outbound.send(request).await
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_bound() {
    let (address, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", false).await;
    let answer = ask(&open(), &format!("http://{address}/")).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..], answer.is_truncated),
        (StatusCode::OK, &b"abcd"[..], false)
    );
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n0123456789abcdef";
    let (address, _) = server(endless, true).await;
    let answer = ask(&open(), &format!("http://{address}/")).await.unwrap();
    assert_eq!((&answer.body[..], answer.is_truncated), (&b"0123456789"[..], true));
}

#[tokio::test]
async fn a_server_that_hangs_or_lies_about_its_length_is_given_up() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"] {
        let (address, _) = server(answer, true).await;
        let error = ask(&open(), &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Timeout(_)), "{error:?}");
    }
    let (address, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false).await;
    let error = ask(&open(), &format!("http://{address}/?token=secret")).await.unwrap_err();
    assert!(matches!(error, OutboundError::Failed(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn no_way_of_writing_an_address_leads_inward() {
    let outbound = Outbound::new(OutboundRules::default()).unwrap();
    let (address, connected) = server(b"HTTP/1.1 200 OK\r\n\r\n", false).await;
    let port = address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "localhost",
        "LOCALHOST",
        "①②⑦.⓪.⓪.①",
    ] {
        let error = ask(&outbound, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Inward(_)), "{host}: {error:?}");
    }
    assert_eq!(connected.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn other_schemes_and_credentials_are_refused() {
    for url in [
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "example.com",
        "http://",
        "http://user:secret@example.com/",
    ] {
        let error = open().destination(url).unwrap_err();
        assert!(matches!(error, OutboundError::Invalid(_)), "{url}: {error:?}");
    }
}

/// The check is of the addresses that the connection is made to.
#[tokio::test]
async fn a_name_that_changes_its_address_leads_nowhere() {
    let (address, connected) = server(b"HTTP/1.1 200 OK\r\n\r\n", false).await;
    let names = Arc::new(Rebinding::default());
    // The first look, as somebody might take it before the request, is at a public address.
    let first = names.addresses("rebinding.example".into()).await.unwrap();
    assert_eq!(first, [IpAddr::from([192, 0, 2, 1])]);
    let outbound = Outbound::with_names(OutboundRules::default(), names.clone()).unwrap();
    let url = format!("http://rebinding.example:{}/", address.port());
    let error = ask(&outbound, &url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Inward(_)), "{error:?}");
    assert!(error.to_string().contains("leads to 127.0.0.1, a loopback address"), "{error}");
    assert_eq!(connected.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_the_open_addresses_of_a_name_are_tried() {
    let (address, connected) = server(b"HTTP/1.1 204 No Content\r\n\r\n", false).await;
    let both = vec![IpAddr::from([169, 254, 169, 254]), IpAddr::from([127, 0, 0, 1])];
    let rules = OutboundRules::parse(&["127.0.0.1"]).unwrap();
    let outbound = Outbound::with_names(rules, Arc::new(Fixed(both.clone()))).unwrap();
    let url = format!("http://both.example:{}/", address.port());
    assert_eq!(ask(&outbound, &url).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(connected.load(Ordering::SeqCst), 1);
    // A host that is open is so whatever its addresses.
    let rules = OutboundRules::parse(&["both.example"]).unwrap();
    let names = Arc::new(Fixed(vec![[127, 0, 0, 1].into()]));
    let outbound = Outbound::with_names(rules, names).unwrap();
    assert_eq!(ask(&outbound, &url).await.unwrap().status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (inner, reached) = server(b"HTTP/1.1 200 OK\r\n\r\n", false).await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{inner}/\r\nContent-Length: 0\r\n\r\n");
    let (address, _) = server(Box::leak(answer.into_boxed_str()).as_bytes(), false).await;
    let answer = ask(&open(), &format!("http://{address}/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn headers_of_the_connection_cannot_be_given() {
    let outbound = open();
    let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("inner"))]);
    let request = OutboundRequest {
        method: Method::GET,
        to: outbound.destination("http://127.0.0.1:9/").unwrap(),
        headers,
        body: Bytes::new(),
        timeout: Duration::from_secs(1),
        most_body: 10,
    };
    let error = outbound.send(request).await.unwrap_err();
    assert!(matches!(error, OutboundError::Invalid(_)), "{error:?}");
}
