use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleOutput;
use aws_sdk_scheduler::types::ActionAfterCompletion;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use diogenes_core::Timestamp;
use diogenes_core::ports::WakeError;
use serde_json::{Value, json};

use super::{LaterLooks, ScheduleSettings};
use crate::aws::event::WorkEvent;

fn settings() -> ScheduleSettings {
    ScheduleSettings {
        group: "stack".into(),
        function: "arn:aws:lambda:eu-west-1:1:function:jobs".into(),
        role: "arn:aws:iam::1:role/schedules".into(),
        failed_events: Some("arn:aws:sqs:eu-west-1:1:failed".into()),
    }
}

fn event() -> WorkEvent {
    WorkEvent::new("batch".parse().unwrap())
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn arranged(status: u16, code: &str) -> Result<(), WakeError> {
    let body = json!({"__type": code, "message": "said so"}).to_string();
    let rule =
        mock!(Client::create_schedule).sequence().http_status(status, Some(body)).repeatedly();
    let client = mock_client!(aws_sdk_scheduler, RuleMode::MatchAny, [&rule.build()]);
    let (at, now) = (time("2026-11-28T10:30:00Z"), time("2026-11-28T10:00:00Z"));
    LaterLooks::new(client, settings()).arrange(&event(), at, now).await
}

#[tokio::test]
async fn a_look_is_a_schedule_that_runs_once_and_goes_away() {
    let rule = mock!(Client::create_schedule)
        .match_requests(|request| {
            assert_eq!(request.group_name(), Some("stack"));
            assert_eq!(request.name(), Some("batch-20261128T1031"));
            assert_eq!(request.schedule_expression(), Some("at(2026-11-28T10:31:00)"));
            let after = request.action_after_completion();
            assert_eq!(after, Some(&ActionAfterCompletion::Delete));
            let target = request.target().unwrap();
            assert_eq!(target.arn(), settings().function);
            assert_eq!(target.role_arn(), settings().role);
            let input: Value = serde_json::from_str(target.input().unwrap()).unwrap();
            assert_eq!(input, json!({"work": {"queue": "batch"}}));
            true
        })
        .then_output(|| {
            CreateScheduleOutput::builder().schedule_arn("arn").build().expect("it has an ARN")
        });
    let client = mock_client!(aws_sdk_scheduler, RuleMode::MatchAny, [&rule]);
    let looks = LaterLooks::new(client, settings());
    let (at, now) = (time("2026-11-28T10:30:01Z"), time("2026-11-28T10:00:00Z"));
    looks.arrange(&event(), at, now).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn a_minute_that_is_arranged_already_is_well() {
    arranged(409, "ConflictException").await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (status, code, part) in [
        (404, "ResourceNotFoundException", "`stack` does not exist"),
        (403, "AccessDeniedException", "`scheduler:CreateSchedule`"),
    ] {
        let error = arranged(status, code).await.unwrap_err();
        assert!(matches!(error, WakeError::NoReceiver { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_passes() {
    let error = arranged(429, "ThrottlingException").await.unwrap_err();
    assert!(matches!(error, WakeError::Transient { .. }), "{error:?}");
}
