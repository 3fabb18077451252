use super::super::gateway;
use super::super::report::Report;
use crate::aws::Stack;
use crate::client::{Address, Client, Key};
use crate::commands::options::Options;
use crate::exit::{Failure, Kind};

const NAME: &str = "api";

/// Asks the API whether it answers, and, if a key was given, whether it takes it.
pub(super) async fn check(
    stack: Option<&Stack>,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let of_stack = stack.and_then(|stack| stack.outputs.get("ControlUrl"));
    let address: Address = match (&options.url, of_stack) {
        (Some(address), _) => address.clone(),
        (None, Some(url)) => url.parse().map_err(|error: String| Kind::Config.because(error))?,
        (None, None) => {
            report.warn(NAME, "its URL is unknown", "set it with --url");
            return Ok(());
        }
    };
    // No key, and above all not one of this machine's, for the one route that needs none.
    let client = Client::new(address.clone(), Key::Missing(String::new()), options.verbose)?;
    match client.ping(&["healthz"]).await {
        Ok(()) => report.ok(NAME, format!("{address}/healthz answers")),
        Err(failure) => {
            let next = "see the log group `/diogenes/STACK/router` in CloudWatch";
            report.fail(NAME, failure.error.to_string(), next);
            return Ok(());
        }
    }
    if options.api_key.is_none() {
        return Ok(());
    }
    let with_key = options.client_of(address)?;
    match with_key.get(&["api", "v1", "cluster"], &[]).await {
        Ok(_) => report.ok("api key", "accepted, with the scope `admin`"),
        Err(failure) => {
            let next = "create one with `diogenes key create --stack NAME --scope admin --email …`";
            report.fail("api key", failure.error.to_string(), next);
            return Ok(());
        }
    }
    gateway::check(&with_key, report).await;
    Ok(())
}
