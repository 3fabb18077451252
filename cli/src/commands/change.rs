//! Changes that nobody else's change is lost by.

use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::exit::Failure;

/// How often a change is tried where others keep changing the same.
const ATTEMPTS: usize = 10;

/// Reads what stands at `path`, makes of it what it shall be, and writes that; all of it anew
/// whenever somebody else has written in between.
pub(super) async fn change<S: Serialize>(
    client: &Client,
    path: &[&str],
    make: impl Fn(Option<Value>) -> Result<S, Failure>,
) -> Result<Value, Failure> {
    let mut attempts = 1;
    loop {
        let (standing, condition) = client.read(path).await?;
        let changed = make(standing)?;
        match client.put_if(&condition, path, &changed).await {
            Err(failure) if attempts < ATTEMPTS && failure.is_precondition() => attempts += 1,
            answer => return answer,
        }
    }
}
