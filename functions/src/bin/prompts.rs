//! `/api/v1/prompts`.

use diogenes_functions::{http_events, http_functions, start};
use lambda_http::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let router = http_functions::prompts(&base);
    let answer = |event| http_events::answer(router.clone(), event);
    run(service_fn(answer)).await
}
