//! Reconciles the fleet.

use diogenes_functions::orchestrator::Orchestrator;
use diogenes_functions::start;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let base = start::base()?;
    let orchestrator = Orchestrator::new(&base)?;
    let handle = |event: LambdaEvent<Value>| {
        let orchestrator = &orchestrator;
        async move { orchestrator.handle(event.payload).await.map_err(Error::from) }
    };
    run(service_fn(handle)).await
}
