//! `/api/v1`: models, the cluster, the description of the API.

use diogenes_functions::{http_events, http_functions, start};
use lambda_http::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let router = http_functions::cluster(&base, &http_functions::wake(&base)?)?;
    let answer = |event| http_events::answer(router.clone(), event);
    run(service_fn(answer)).await
}
