//! Files, uploads, batches, jobs, schedules and queues.

use diogenes_functions::workers::{Duty, WorkersWake};
use diogenes_functions::{batches, http_events, services, start};
use lambda_http::{Error, run_with_streaming_response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let wake = WorkersWake::of_environment(&base, &Duty::ALL)?;
    let router = batches::routes(&base, services::blobs(&base)?, wake)?;
    let answer = |event| http_events::answer(router.clone(), event);
    run_with_streaming_response(service_fn(answer)).await
}
