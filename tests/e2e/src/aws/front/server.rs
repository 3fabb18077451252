use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::answer::Answer;
use super::call::Call;
use super::ec2::Ec2;
use super::invoke::Invocations;
use super::record::{Outcome, Record, Recorded};
use super::rule::{Effect, Rules, Then};
use super::s3;
use super::schedules::Schedules;
use super::upstream::Upstream;

/// What the connections of a front share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) record: Record,
    pub(super) rules: Rules,
    pub(super) invocations: Invocations,
    pub(super) ec2: Ec2,
    pub(super) schedules: Schedules,
    pub(super) upstream: Upstream,
}

/// The connection is to be dropped without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("dropped by a rule of the test")
    }
}

impl std::error::Error for Dropped {}

/// Serves until the runtime is shut down.
pub(super) async fn serve(listener: TcpListener, desk: Arc<Desk>) -> Infallible {
    loop {
        // An error is that of one connection, or of too many; the next one may be better.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(connection(stream, desk.clone()));
    }
}

async fn connection(stream: TcpStream, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let desk = desk.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
            // A task of its own: AWS does what it was asked to do, though the caller be gone.
            let done = tokio::spawn(async move { desk.answer(Call::new(parts, body)).await });
            done.await.unwrap_or(Err(Dropped)).map(Answer::into_response)
        }
    });
    // An error is a connection that broke, or one that a rule has dropped.
    let _: Result<(), hyper::Error> =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Desk {
    async fn answer(&self, call: Call) -> Result<Answer, Dropped> {
        let recorded = self.record.arrived(&call);
        let (outcome, answer) = self.outcome(&call, &recorded).await;
        self.record.ended(recorded.number, outcome);
        answer.ok_or(Dropped)
    }

    async fn outcome(&self, call: &Call, recorded: &Recorded) -> (Outcome, Option<Answer>) {
        let effects = self.rules.effects(recorded);
        for effect in &effects {
            match effect {
                Effect::Fail(fault) => {
                    let code = fault.code(call.protocol).to_owned();
                    return (Outcome::Injected(code), Some(fault.answer(call.protocol)));
                }
                Effect::Delay(delay) => tokio::time::sleep(*delay).await,
                Effect::Before(hook) => {
                    if hook(recorded.clone()).await == Then::Drop {
                        return (Outcome::Refused, None);
                    }
                }
                Effect::After(_) => {}
            }
        }
        let answer = self.perform(call).await;
        let outcome = Outcome::Answered { status: answer.status.as_u16(), code: answer.code() };
        let mut done = recorded.clone();
        done.outcome = outcome.clone();
        for effect in &effects {
            if let Effect::After(hook) = effect
                && hook(done.clone()).await == Then::Drop
            {
                return (Outcome::Lost, None);
            }
        }
        (outcome, Some(answer))
    }

    async fn perform(&self, call: &Call) -> Answer {
        match call.service.as_str() {
            "lambda" => self.invocations.answer(call).await,
            "scheduler" => self.schedules.answer(call),
            "s3" => {
                let mut call = call.clone();
                s3::sign_by_header(&mut call.parts);
                self.upstream.send(&call).await
            }
            "ec2" => self.ec2.answer(&self.upstream, call).await,
            _ => self.upstream.send(call).await,
        }
    }
}
