//! `/v1`: inference, streamed.

use diogenes_functions::{http_events, http_functions, start};
use lambda_http::{Error, run_with_streaming_response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let wake = http_functions::elected_wake(&base)?;
    let router = http_functions::inference(&base, &wake, http_functions::parameters(&base)?)?;
    let answer = |event| http_events::answer(router.clone(), event);
    run_with_streaming_response(service_fn(answer)).await
}
