use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use tokio::time::Instant;

use super::fault::{Fault, Kind, Modeled};

/// For how long a call is repeated. A caller waits longer for a model than for this, and no
/// Lambda function of ours ends before it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest first pause; every further one may be twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The end of a call that came to no result.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    /// Whether an earlier attempt may have done what it was to do.
    pub(super) in_doubt: bool,
}

/// Repeats `call` while that can help. Every attempt must ask for the same.
pub(super) async fn answer<T, E, F>(call: impl Fn() -> F + Send + Sync) -> Result<T, Failure>
where
    E: Modeled,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
{
    repeat(call, Kind::passes).await
}

/// Repeats `call` only while nothing has happened: one whose answer was lost must not be done
/// twice.
pub(super) async fn answer_once<T, E, F>(call: impl Fn() -> F + Send + Sync) -> Result<T, Failure>
where
    E: Modeled,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
{
    repeat(call, Kind::passes_undone).await
}

async fn repeat<T, E, F>(
    call: impl Fn() -> F + Send + Sync,
    may_pass: fn(&Kind) -> bool,
) -> Result<T, Failure>
where
    E: Modeled,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
{
    let end = Instant::now() + PATIENCE;
    let mut longest = FIRST_PAUSE;
    let mut in_doubt = false;
    loop {
        let fault = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => Fault::of(error),
        };
        let pause = longest.mul_f64(fraction());
        if !may_pass(&fault.kind) || Instant::now() + pause >= end {
            return Err(Failure { fault, in_doubt });
        }
        tracing::debug!(?pause, fault = ?fault.kind, "DynamoDB is asked again");
        in_doubt |= fault.kind == Kind::Lost;
        tokio::time::sleep(pause).await;
        longest = (longest * 2).min(LONGEST_PAUSE);
    }
}

/// At random from 0 to 1, so that those who met once do not meet again.
fn fraction() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(random) / f64::from(u32::MAX)
}
