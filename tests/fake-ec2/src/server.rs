//! The listening socket, and what every call goes through.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form as FormBody, Router};
use diogenes_core::ports::Clock;
use futures_util::stream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::actions;
use crate::answer::ApiError;
use crate::form::Form;
use crate::world::World;

#[derive(Clone)]
struct Shared {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
}

/// A bound server that does not serve yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    runtime: Runtime,
    router: Router,
}

impl Server {
    pub(crate) fn bind(world: Arc<Mutex<World>>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = Router::new().route("/", post(call)).with_state(Shared { world, clock });
        Ok(Self { address: listener.local_addr()?, listener, runtime, router })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until the other end of `stopped` is dropped; open connections end with it.
    pub(crate) fn run(self, stopped: oneshot::Receiver<()>) {
        let Self { listener, runtime, router, .. } = self;
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            tokio::select! {
                _ = axum::serve(listener, router).into_future() => {}
                _ = stopped => {}
            }
        });
    }
}

async fn call(
    State(shared): State<Shared>,
    headers: HeaderMap,
    FormBody(parameters): FormBody<BTreeMap<String, String>>,
) -> Response {
    let now = shared.clock.now();
    let mut world = shared.world.lock().unwrap_or_else(PoisonError::into_inner);
    world.requests.push(parameters.clone());
    if !headers.contains_key(header::AUTHORIZATION) {
        let message = "The request must contain a signature";
        return ApiError::client("AuthFailure", message)
            .with_status(StatusCode::UNAUTHORIZED)
            .into_response();
    }
    if world.throttled > 0 {
        world.throttled -= 1;
        return ApiError::client("RequestLimitExceeded", "Request limit exceeded.")
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response();
    }
    let answer = actions::perform(&mut world, &Form::new(parameters), now)
        .unwrap_or_else(ApiError::into_response);
    if world.lost > 0 {
        world.lost -= 1;
        return cut();
    }
    answer
}

/// An answer whose body fails at once, upon which the connection is closed.
fn cut() -> Response {
    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    Body::from_stream(stream::once(async { Err::<Vec<u8>, _>(broken) })).into_response()
}
