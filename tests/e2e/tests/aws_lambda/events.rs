use std::time::Duration;

use diogenes_e2e::aws::lambda::{Function, InvokeError, LambdaHost};
use serde_json::json;

use crate::fixture::scripted;

fn quick() -> Function {
    Function { async_backoff: Duration::from_millis(1), ..scripted() }
}

#[tokio::test]
async fn an_event_that_fails_is_tried_again_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls");
    let host = LambdaHost::start([quick()]);
    let event = json!({"do": "fail-until", "count": 3, "file": file}).to_string();
    host.invoke_async("scripted", event).unwrap();
    host.wait_idle().await;
    assert_eq!(host.invocations("scripted"), 3);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "...");
    assert_eq!(host.dropped("scripted"), []);
}

#[tokio::test]
async fn an_event_is_given_up_when_its_retries_are_used_up() {
    for retries in 0..=2 {
        let host = LambdaHost::start([Function { async_retries: retries, ..quick() }]);
        host.invoke_async("scripted", json!({"do": "error"}).to_string()).unwrap();
        host.wait_idle().await;
        let dropped = host.dropped("scripted");
        assert_eq!((dropped[0].attempts, dropped[0].condition), (retries + 1, "RetriesExhausted"));
        assert_eq!(dropped[0].payload, json!({"do": "error"}).to_string());
        assert!(matches!(dropped[0].error, Some(InvokeError::Function { .. })));
        assert_eq!(dropped.len(), 1);
    }
}

#[tokio::test]
async fn a_throttled_event_waits_until_it_is_too_old() {
    let function = Function {
        reserved_concurrency: Some(0),
        async_max_age: Duration::from_millis(100),
        ..quick()
    };
    let host = LambdaHost::start([function]);
    host.invoke_async("scripted", "1").unwrap();
    host.wait_idle().await;
    let dropped = host.dropped("scripted");
    assert_eq!((dropped[0].attempts, dropped[0].condition), (0, "EventAgeExceeded"));
    assert_eq!(dropped[0].error, Some(InvokeError::Throttled));
    assert_eq!(host.starts("scripted"), 0);
}

#[tokio::test]
async fn throttled_events_are_all_delivered_in_the_end() {
    let host = LambdaHost::start([Function { reserved_concurrency: Some(1), ..quick() }]);
    for number in 0..5 {
        host.invoke_async("scripted", number.to_string()).unwrap();
    }
    host.wait_idle().await;
    assert_eq!((host.invocations("scripted"), host.starts("scripted")), (5, 1));
    assert_eq!(host.dropped("scripted"), []);
}
