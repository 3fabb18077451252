use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Topic, Wake as _, WakeError};
use serde_json::{Value, json};

use super::InvokeWake;

fn wake(rule: &Rule) -> InvokeWake {
    InvokeWake::new(mock_client!(aws_sdk_lambda, RuleMode::MatchAny, [rule]), "orchestrator")
}

fn model() -> ModelName {
    "qwen".parse().unwrap()
}

/// What comes of an answer with this code, asked as often as the client's setup wants.
async fn failure(status: u16, code: &str, message: &str) -> WakeError {
    let body = json!({"__type": code, "message": message}).to_string();
    let rule = mock!(Client::invoke).sequence().http_status(status, Some(body)).repeatedly();
    let wake = wake(&rule.build());
    wake.wake(&Topic::Model(model())).await.unwrap_err()
}

#[tokio::test]
async fn orchestrator_gets_the_event_asynchronously() {
    let rule = mock!(Client::invoke)
        .match_requests(|request| {
            let payload = request.payload().map_or([].as_slice(), AsRef::as_ref);
            let event: Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(event, json!({"reconcile": {"model": "qwen"}}));
            assert_eq!(request.function_name(), Some("orchestrator"));
            assert_eq!(request.invocation_type().unwrap().as_str(), "Event");
            true
        })
        .then_output(|| InvokeOutput::builder().status_code(202).build());
    wake(&rule).wake(&Topic::Model(model())).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn workers_get_the_queue_and_no_model() {
    let rule = mock!(Client::invoke)
        .match_requests(|request| {
            let payload = request.payload().map_or([].as_slice(), AsRef::as_ref);
            let event: Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(event, json!({"work": {"queue": "batch"}}));
            assert_eq!(request.function_name(), Some("jobs"));
            true
        })
        .then_output(|| InvokeOutput::builder().status_code(202).build());
    let client = mock_client!(aws_sdk_lambda, RuleMode::MatchAny, [&rule]);
    let wake = InvokeWake::of_workers(client, "jobs");
    wake.wake(&Topic::Queue("batch".parse().unwrap())).await.unwrap();
    let error = wake.wake(&Topic::Model(model())).await.unwrap_err();
    assert!(matches!(error, WakeError::NoReceiver { .. }), "{error:?}");
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn missing_function_is_no_receiver() {
    let error = failure(404, "ResourceNotFoundException", "Function not found").await;
    let WakeError::NoReceiver { topic, reason } = error else {
        panic!("{error:?}");
    };
    assert_eq!(topic, Topic::Model(model()));
    assert!(reason.contains("`orchestrator` does not exist"), "{reason}");
}

#[tokio::test]
async fn denied_invocation_names_the_permission() {
    let error = failure(403, "AccessDeniedException", "role x may not").await;
    let text = error.to_string();
    assert!(matches!(error, WakeError::NoReceiver { .. }), "{error:?}");
    for part in ["`lambda:InvokeFunction`", "`orchestrator`", "role x may not"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_and_faults_pass() {
    for (status, code) in [(429, "TooManyRequestsException"), (500, "ServiceException")] {
        let error = failure(status, code, "not now").await;
        assert!(matches!(error, WakeError::Transient { .. }), "{error:?}");
    }
}
