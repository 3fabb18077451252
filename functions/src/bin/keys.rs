//! `/api/v1/keys`.

use std::sync::Arc;

use diogenes_functions::http_functions::NoWake;
use diogenes_functions::{http_events, http_functions, start};
use lambda_http::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let app = http_functions::app(&base, Arc::new(NoWake))?;
    let router = diogenes_api::keys_router(app);
    let answer = |event| http_events::answer(router.clone(), event);
    run(service_fn(answer)).await
}
