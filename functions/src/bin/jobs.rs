//! Works on jobs.

use diogenes_functions::jobs::Workers;
use diogenes_functions::start;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let workers = Workers::new(start::base()?)?;
    let handle = |event: LambdaEvent<Value>| {
        let workers = &workers;
        async move { workers.handle(event).await.map_err(Error::from) }
    };
    run(service_fn(handle)).await
}
