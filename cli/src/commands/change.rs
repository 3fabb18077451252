//! Changes that nobody else's change is lost by.

use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::exit::{Failure, Kind};

/// How often a change is tried where others keep changing the same.
const ATTEMPTS: usize = 10;

/// Reads what stands at `path`, makes of it what it shall be, and writes that, unless there is
/// nothing to write; all of it anew whenever somebody else has written in between. Returns the
/// answer.
pub(super) async fn change<S: Serialize>(
    client: &Client,
    path: &[&str],
    make: impl Fn(Option<Value>) -> Result<Option<S>, Failure>,
) -> Result<Option<Value>, Failure> {
    let mut attempts = 1;
    loop {
        let (standing, condition) = client.read(path).await?;
        let Some(changed) = make(standing)? else { return Ok(None) };
        match client.put_if(&condition, path, &changed).await {
            Err(failure) if attempts < ATTEMPTS && failure.is_precondition() => attempts += 1,
            answer => return answer.map(Some),
        }
    }
}

/// The same where there is always something to write.
pub(super) async fn apply<S: Serialize>(
    client: &Client,
    path: &[&str],
    make: impl Fn(Option<Value>) -> Result<S, Failure>,
) -> Result<Value, Failure> {
    let written = change(client, path, |standing| make(standing).map(Some)).await?;
    written.ok_or_else(|| Kind::Other.because("nothing was written"))
}
