//! A REST API as API Gateway serves it.

mod authorizer;
mod event;
mod flow;
mod integration;
mod policy;
mod refusal;
mod response;
mod routes;
mod throttle;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use super::host::LambdaHost;
use super::socket::{self, Prompt};
use super::template::{Api, Route, Template, TemplateError, Throttle};

use authorizer::Authorizers;
use refusal::Refusals;
use throttle::Buckets;

/// How long a Regional API waits for the next byte of a stream
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>).
const IDLE_LIMIT: Duration = Duration::from_mins(5);

/// What a test has otherwise than the template.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// How long authorizers' answers are kept.
    pub authorizer_ttl: Option<Duration>,
    /// How long a stream may be silent; 5 minutes on AWS.
    pub idle_timeout: Option<Duration>,
    /// How many requests each route lets through.
    pub throttle: Option<Throttle>,
}

/// A REST API on a free port of 127.0.0.1, until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stage: String,
    state: Arc<State>,
    server: AbortHandle,
}

/// What all requests share.
#[derive(Debug)]
struct State {
    host: LambdaHost,
    api: Api,
    authorizers: Authorizers,
    refusals: Refusals,
    throttle: Option<Buckets>,
    /// How long an integration may take, if otherwise than in the template.
    timeout: Mutex<Option<Duration>>,
    idle_timeout: Duration,
    problems: Mutex<Vec<String>>,
}

impl State {
    /// Notes what AWS writes to the execution log.
    fn problem(&self, problem: impl Into<String>) {
        self.problems.lock().unwrap().push(problem.into());
    }
}

impl Gateway {
    /// Serves the API of a template in front of the functions of a host, which go by their
    /// logical ids.
    pub fn from_template(
        template: &Template,
        host: &LambdaHost,
        overrides: Overrides,
    ) -> Result<Self, TemplateError> {
        let mut api = template.api.clone();
        if let Some(ttl) = overrides.authorizer_ttl {
            api.authorizers.values_mut().for_each(|authorizer| authorizer.ttl = ttl);
        }
        let names = host.names();
        let wanted = api.routes.iter().filter_map(Route::function);
        let authorizers = api.authorizers.values();
        for function in wanted.chain(authorizers.map(|authorizer| authorizer.function.as_str())) {
            if !names.contains(&function) {
                let problem = format!("the host runs no function `{function}`");
                return Err(TemplateError { place: "Resources".into(), problem });
            }
        }
        let state = Arc::new(State {
            host: host.clone(),
            authorizers: Authorizers::default(),
            refusals: Refusals::new(&api.responses)?,
            throttle: overrides.throttle.or(api.throttle).map(Buckets::new),
            timeout: Mutex::default(),
            idle_timeout: overrides.idle_timeout.unwrap_or(IDLE_LIMIT),
            problems: Mutex::default(),
            api,
        });
        let (listener, address) = socket::listen().map_err(|error| TemplateError {
            place: "127.0.0.1".into(),
            problem: error.to_string(),
        })?;
        let server = tokio::spawn(serve(listener, state.clone())).abort_handle();
        Ok(Self { address, stage: state.api.stage.clone(), state, server })
    }

    /// `http://127.0.0.1:PORT/STAGE`.
    pub fn base_url(&self) -> String {
        format!("http://{}/{}", self.address, self.stage)
    }

    /// `http://127.0.0.1:PORT`, for requests beside the stage.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What went wrong behind its 5xx answers: AWS's execution log.
    pub fn problems(&self) -> Vec<String> {
        self.state.problems.lock().unwrap().clone()
    }

    /// Lets every integration that begins from now on take no longer. What a test sets up before
    /// has the template's time, which a busy machine may need.
    pub fn limit_integrations(&self, timeout: Duration) {
        *self.state.timeout.lock().unwrap() = Some(timeout);
    }

    /// Forgets the authorizers' answers, as if their time were over.
    pub fn forget_authorizations(&self) {
        self.state.authorizers.forget();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, peer)) = Prompt::accept(&listener).await {
        let state = state.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(flow::answer(&state, request, peer).await) }
            });
            // Clients leave as they like.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
