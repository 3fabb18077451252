//! Calls of Lambda functions, which go to the test.

use bytes::Bytes;
use diogenes_e2e::aws::front::{Fault, Front, Returned};
use tokio::sync::mpsc;

use crate::front;

const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=router/20261121/us-east-1/lambda/aws4_request, \
                         SignedHeaders=host, Signature=00";

/// Invokes a function as Lambda's clients do; the status, the error header and the body.
async fn invoke(front: &Front, function: &str, kind: &str) -> (u16, Option<String>, String) {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", front.endpoint());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(url);
    let request = request
        .header("authorization", SIGNATURE)
        .header("x-amz-invocation-type", kind)
        .body(r#"{"reconcile":"all"}"#);
    let answer = request.send().await.unwrap();
    let headers = answer.headers();
    let error = headers.get("x-amz-function-error").or(headers.get("x-amzn-errortype"));
    let error = error.map(|error| error.to_str().unwrap().to_owned());
    (answer.status().as_u16(), error, answer.text().await.unwrap())
}

#[tokio::test]
async fn events_and_calls_reach_the_handler() {
    let Some(front) = front().await else { return };
    let (queue, mut queued) = mpsc::unbounded_channel();
    front.on_invoke(move |invocation| {
        let queue = queue.clone();
        async move {
            match invocation.function.as_str() {
                "orchestrator" if invocation.is_event => {
                    queue.send(invocation).unwrap();
                    Ok(Returned::default())
                }
                "orchestrator" => Ok(Returned { payload: Bytes::from("[1]"), error: None }),
                "broken" => {
                    let payload = Bytes::from(r#"{"errorMessage":"no"}"#);
                    Ok(Returned { payload, error: Some("Unhandled".to_owned()) })
                }
                other => Err(Fault::new("ResourceNotFoundException", other)),
            }
        }
    });

    assert_eq!(invoke(&front, "orchestrator", "Event").await, (202, None, String::new()));
    let event = queued.recv().await.unwrap();
    assert_eq!(
        (event.caller.as_str(), &event.payload[..]),
        ("router", &br#"{"reconcile":"all"}"#[..])
    );
    let (status, error, body) = invoke(&front, "orchestrator", "RequestResponse").await;
    assert_eq!((status, error, body.as_str()), (200, None, "[1]"));
    let (status, error, _) = invoke(&front, "broken", "RequestResponse").await;
    assert_eq!((status, error.as_deref()), (200, Some("Unhandled")));
    let (status, error, _) = invoke(&front, "unknown", "Event").await;
    assert_eq!((status, error.as_deref()), (404, Some("ResourceNotFoundException")));

    front.rule().to("lambda").action("Invoke").fail(Fault::throttled());
    let (status, error, _) = invoke(&front, "orchestrator", "Event").await;
    assert_eq!((status, error.as_deref()), (429, Some("TooManyRequestsException")));
    let calls = front.calls().by("router").to("lambda").action("Invoke");
    assert_eq!(calls.count(), 5);
}
