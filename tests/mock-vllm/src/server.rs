//! The listening socket and the connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::{Error, api};

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: u32 = 4096;

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A bound port that does not listen: it is ours, and connections to it are refused.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    socket: TcpSocket,
    addr: SocketAddr,
}

impl ReservedPort {
    /// Resolves the host and binds.
    pub(crate) async fn bind(host: &str, port: u16) -> Result<Self, Error> {
        let bound = match tokio::net::lookup_host((host, port)).await.map(|mut addrs| addrs.next())
        {
            Ok(Some(addr)) => Self::bind_addr(addr),
            Ok(None) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
            Err(source) => Err(source),
        };
        bound.map_err(|source| Error::Bind { host: host.to_owned(), port, source })
    }

    fn bind_addr(addr: SocketAddr) -> std::io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Two sockets have the port for a moment when it ceases to listen; see `Port::turn`.
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// The port in use: it listens, or it is only kept.
enum Port {
    Listening { listener: TcpListener, drain: watch::Sender<bool> },
    Kept(ReservedPort),
}

impl Port {
    /// Changes over if need be. Ceasing to listen lets open connections end after the request they are in.
    fn turn(self, refuse: bool, addr: SocketAddr) -> std::io::Result<Self> {
        match self {
            Self::Listening { listener, drain } if refuse => {
                // First, or somebody else may take the port in between.
                let port = ReservedPort::bind_addr(addr)?;
                drop(listener);
                drain.send_replace(true);
                Ok(Self::Kept(port))
            }
            Self::Kept(port) if !refuse => Ok(Self::Listening {
                listener: port.socket.listen(BACKLOG)?,
                drain: watch::Sender::new(false),
            }),
            Self::Listening { .. } | Self::Kept(_) => Ok(self),
        }
    }

    /// The next connection, with what tells it to end. Waits for ever while the port is only kept.
    async fn accept(&self) -> (TcpStream, watch::Receiver<bool>) {
        let Self::Listening { listener, drain } = self else {
            return std::future::pending().await;
        };
        loop {
            match listener.accept().await {
                // A connection that is gone already fails here and again when it is read.
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    return (stream, drain.subscribe());
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
    }
}

/// Serves until `stop` holds how long requests in flight may take, or until a fault kills the engine.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    port: ReservedPort,
    mut stop: watch::Receiver<Option<Duration>>,
    listening: impl FnOnce(),
) -> Result<(), Error> {
    let addr = port.addr();
    let router = api::router(Arc::clone(&engine));
    let mut faults = engine.faults.subscribe();
    let mut dead = engine.dead.subscribe();
    // Dropping the set, by whichever way out, aborts the connections that are left.
    let mut connections = JoinSet::new();
    let mut listening = Some(listening);
    let mut port = Port::Kept(port);
    let grace = loop {
        let refuse = faults.borrow_and_update().refuse_connections;
        port = port.turn(refuse, addr).map_err(Error::Start)?;
        if engine.listening.send_replace(!refuse) == refuse
            && let Some(listening) = listening.take()
        {
            listening();
        }
        tokio::select! {
            (stream, drain) = port.accept() => { connections.spawn(connection(stream, drain, router.clone())); }
            Ok(()) = faults.changed() => {}
            Ok(_) = dead.wait_for(|dead| *dead) => return Err(Error::Died),
            Some(_) = connections.join_next() => {}
            stopped = stop.wait_for(Option::is_some) => {
                break stopped.ok().and_then(|grace| *grace).unwrap_or_default();
            }
        }
    };
    let _kept = port.turn(true, addr).map_err(Error::Start)?;
    let ended = async { while connections.join_next().await.is_some() {} };
    // Past the grace period what is in flight is aborted, which is what was asked for.
    let _ = tokio::time::timeout(grace, ended).await;
    Ok(())
}

async fn connection(stream: TcpStream, mut drain: watch::Receiver<bool>, router: Router) {
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let drained = async { drain.wait_for(|drain| *drain).await.is_ok() };
    // A connection that ends with an error is one that the client or a fault broke off.
    tokio::select! {
        _ = served.as_mut() => {}
        _ = drained => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}
