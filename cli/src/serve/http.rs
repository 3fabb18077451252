use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::linger::Lingering;
use super::peer::FromPeer;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BACKLOG: i32 = 1024;

/// Where connections come from.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// Whether a service manager holds the socket: connections then wait for the next `serve`
    /// while none runs.
    pub(crate) is_passed: bool,
}

/// Takes the socket that a service manager has passed (`LISTEN_FDS`, `LISTEN_PID`, as in
/// sd_listen_fds(3)), or binds one.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        bail!("{} sockets were passed; pass one, with one `ListenStream=`", passed.len());
    }
    let socket = passed.take_tcp_listener(0).context("the socket that was passed is not TCP")?;
    let Some(socket) = socket else {
        let socket = bind(address).with_context(|| {
            format!("cannot listen on {address}; choose another address with --listen")
        })?;
        return Ok(Listener { socket, is_passed: false });
    };
    if !socket2::SockRef::from(&socket).is_listener()? {
        bail!(
            "the socket that was passed does not listen; use `ListenStream=` and not `Accept=yes`"
        );
    }
    // It is close-on-exec by now: inference servers outlive us, and must not hold it.
    socket.set_nonblocking(true)?;
    Ok(Listener { socket: TcpListener::from_std(socket)?, is_passed: true })
}

/// Binds a listening socket.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    // A restart must not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The connections that were accepted.
pub(crate) struct Connections {
    /// Tells them that no request may follow the one that is under way; none where they know.
    graceful: Option<GracefulShutdown>,
    tasks: JoinSet<()>,
}

impl Connections {
    /// Waits until each has answered what is under way.
    pub(crate) async fn finish(&mut self) {
        if let Some(graceful) = self.graceful.take() {
            graceful.shutdown().await;
        }
    }

    /// Ends them now. What their requests leave to be settled is settled.
    pub(crate) async fn cut_off(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Serves until it is dropped, and cuts off what is under way.
pub(crate) async fn serve_plain(listener: TcpListener, router: Router) {
    serve(listener, router, std::future::pending()).await;
}

/// Serves until `stop` resolves; then nothing more is accepted.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) -> Connections {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = TowerToHyperService::new(router);
    let (graceful, mut tasks) = (GracefulShutdown::new(), JoinSet::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that are over take no memory.
            Some(_) = tasks.join_next() => continue,
            () = &mut stop => return Connections { graceful: Some(graceful), tasks },
        };
        match accepted {
            Ok((stream, peer)) => {
                tasks.spawn(accept(stream, peer, &builder, &service, &graceful));
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    builder: &http1::Builder,
    service: &TowerToHyperService<Router>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Small SSE chunks must not wait for the acknowledgement of the last.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = FromPeer { service: service.clone(), peer: peer.ip() };
    let connection = builder.serve_connection(TokioIo::new(Lingering::new(stream)), service);
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
        }
    }
}
