//! Verifies keys for API Gateway.

use diogenes_functions::authorizer::Authorizer;
use diogenes_functions::start;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let authorizer = Authorizer::new(&start::base()?);
    let answer = async |event: LambdaEvent<Value>| -> Result<Value, Error> {
        authorizer.answer(&event.payload).await.map_err(Error::from)
    };
    run(service_fn(answer)).await
}
