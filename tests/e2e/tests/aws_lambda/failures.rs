use std::time::Duration;

use diogenes_e2e::aws::lambda::{Function, InvokeError, LambdaHost};
use diogenes_e2e::eventually;
use serde_json::{Value, json};

use crate::fixture::{open, scripted};

/// Lets a function do something that fails; kind and message of the failure, and how many
/// processes were started when another event was answered after it.
async fn failure(function: Function, what: Value) -> (String, String, usize) {
    let host = LambdaHost::start([function]);
    let error = host.invoke("scripted", what.to_string()).await.unwrap_err();
    let InvokeError::Function { kind, message } = error else { panic!("{error}") };
    let id = message.split(' ').nth(1).filter(|_| message.starts_with("RequestId: "));
    let message = id.map_or(message.clone(), |id| message.replace(id, "ID"));
    host.wait_idle().await;
    let _ = host.invoke("scripted", "1").await;
    (kind, message, host.starts("scripted"))
}

fn seen(kind: &str, message: &str, starts: usize) -> (String, String, usize) {
    (kind.into(), message.into(), starts)
}

#[tokio::test]
async fn a_crash_is_told_and_takes_the_process_along() {
    assert_eq!(
        failure(scripted(), json!({"do": "crash", "code": 3})).await,
        seen(
            "Runtime.ExitError",
            "RequestId: ID Error: Runtime exited with error: exit status 3",
            2
        )
    );
    assert_eq!(
        failure(scripted(), json!({"do": "crash", "code": 0})).await,
        seen(
            "Runtime.ExitError",
            "RequestId: ID Error: Runtime exited without providing a reason",
            2
        )
    );
}

#[tokio::test]
async fn an_invocation_that_takes_too_long_is_killed() {
    let function = Function { timeout: Duration::from_millis(1500), ..scripted() };
    assert_eq!(
        failure(function, json!({"do": "hang"})).await,
        seen("Sandbox.Timedout", "RequestId: ID Error: Task timed out after 1.50 seconds", 2)
    );
}

#[tokio::test]
async fn a_handler_that_fails_keeps_its_process() {
    let (kind, message, starts) = failure(scripted(), json!({"do": "error"})).await;
    assert!(kind.contains("Error"), "{kind}");
    assert_eq!((message.as_str(), starts), ("it was told to fail", 1));
}

#[tokio::test]
async fn a_program_that_cannot_start_fails_its_invocation() {
    let (kind, message, _) = failure(scripted().with("START", "crash"), json!(1)).await;
    let exit = "RequestId: ID Error: Runtime exited with error: exit status 7";
    assert_eq!((kind.as_str(), message.as_str()), ("Runtime.ExitError", exit));
    let function = Function { program: "/nowhere/bootstrap".into(), ..scripted() };
    assert_eq!(failure(function, json!(1)).await.0, "Runtime.InvalidEntrypoint");
}

#[tokio::test]
async fn a_process_that_is_killed_at_work_fails_its_invocation() {
    let folder = tempfile::tempdir().unwrap();
    let host = LambdaHost::start([Function { timeout: Duration::from_mins(1), ..scripted() }]);
    let event = json!({"do": "wait", "gate": folder.path().join("never")}).to_string();
    let other = host.clone();
    let invocation = tokio::spawn(async move { other.invoke("scripted", event).await });
    eventually(
        "a process",
        async || {
            if host.pids("scripted").is_empty() { Err(()) } else { Ok(()) }
        },
    )
    .await;
    host.kill("scripted");
    let error = invocation.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("signal: killed"), "{error}");
}

#[tokio::test]
async fn payloads_have_limits() {
    let host = LambdaHost::start([scripted()]);
    let mebibyte = 1024 * 1024;
    let event = |bytes: usize| json!("x".repeat(bytes - 2)).to_string();
    assert_eq!(host.invoke("scripted", event(6 * mebibyte)).await.unwrap().len(), 6 * mebibyte);
    let error = host.invoke("scripted", event(6 * mebibyte + 1)).await.unwrap_err();
    assert_eq!(error, InvokeError::TooLarge(6 * mebibyte));
    host.invoke_async("scripted", event(mebibyte)).unwrap();
    let error = host.invoke_async("scripted", event(mebibyte + 1)).unwrap_err();
    assert_eq!(error, InvokeError::TooLarge(mebibyte));
    let what = json!({"do": "size", "bytes": 6 * mebibyte});
    let (kind, _, starts) = failure(scripted(), what).await;
    assert_eq!((kind.as_str(), starts), ("Function.ResponseSizeTooLarge", 1));
}

#[tokio::test]
async fn more_than_the_reserved_concurrency_is_throttled() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let function =
        Function { reserved_concurrency: Some(1), timeout: Duration::from_mins(1), ..scripted() };
    let host = LambdaHost::start([function]);
    let event = json!({"do": "wait", "gate": gate}).to_string();
    let first = tokio::spawn({
        let host = host.clone();
        async move { host.invoke("scripted", event).await }
    });
    eventually(
        "the first one",
        async || {
            if host.invocations("scripted") == 1 { Ok(()) } else { Err(()) }
        },
    )
    .await;
    assert_eq!(host.invoke("scripted", "2").await, Err(InvokeError::Throttled));
    open(&gate);
    first.await.unwrap().unwrap();
    host.wait_idle().await;
    assert_eq!(host.invoke("scripted", "3").await.unwrap(), "3");
    assert_eq!(host.starts("scripted"), 1);
}

#[tokio::test]
async fn a_function_that_does_not_exist_is_not_found() {
    let host = LambdaHost::start([scripted()]);
    let error = InvokeError::NotFound("other".into());
    assert_eq!(host.invoke("other", "1").await, Err(error.clone()));
    assert_eq!(host.invoke_async("other", "1"), Err(error));
}
