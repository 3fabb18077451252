use std::fmt;
use std::time::Duration;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::http::HttpResponse;
use aws_sdk_scheduler::error::{BuildError, ProvideErrorMetadata as _, SdkError};
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode,
    RetryPolicy, Target,
};
use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::later;
use diogenes_core::ports::{Topic, WakeError};

use crate::aws::attempt::limited;
use crate::aws::event::WorkEvent;

/// After how long one attempt counts as failed, unless the client says otherwise.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long EventBridge tries to have a function invoked. What fails then is in the queue of failed
/// events.
const EVENT_AGE: i32 = 3600;
const RETRIES: i32 = 10;
const MINUTE: i64 = 60;
/// How near its minute a schedule may still be made.
const SLACK: Duration = Duration::from_secs(15);

/// What schedules invoke, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// The group that they are in, and that ends with the stack.
    pub group: String,
    /// The ARN of the function that works on jobs.
    pub function: String,
    /// The ARN of the role that may invoke it.
    pub role: String,
    /// The ARN of the queue of events that came to nothing.
    pub failed_events: Option<String>,
}

/// Has queues looked at later: one schedule for each queue and minute, which EventBridge deletes once
/// it has run. None is ever changed or deleted, so that two processes that think of one queue at once
/// cannot undo what the other has made.
pub struct LaterLooks {
    client: Client,
    settings: ScheduleSettings,
}

impl LaterLooks {
    /// Makes schedules with this client. An attempt has a time limit of three seconds where the
    /// client sets none.
    #[expect(clippy::needless_pass_by_value, reason = "the client is for this alone")]
    pub fn new(client: Client, settings: ScheduleSettings) -> Self {
        let config = client.config();
        let timeouts = limited(config.timeout_config(), ATTEMPT);
        let config = config.to_builder().timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), settings }
    }

    /// Has the event sent at `at`, or up to two minutes later: EventBridge knows minutes. A repeat
    /// call for the same minute changes nothing and succeeds.
    ///
    /// # Errors
    /// When it could not be arranged.
    pub async fn arrange(
        &self,
        event: &WorkEvent,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), WakeError> {
        let WorkEvent::Work(look) = event;
        let topic = Topic::Queue(look.queue.clone());
        let minute = minute_of(at, now);
        let build =
            |error: BuildError| WakeError::Transient { topic: topic.clone(), source: error.into() };
        let input = serde_json::to_string(event).map_err(|source| WakeError::Transient {
            topic: topic.clone(),
            source: source.into(),
        })?;
        let retries = RetryPolicy::builder()
            .maximum_event_age_in_seconds(EVENT_AGE)
            .maximum_retry_attempts(RETRIES);
        let failed_events = self.settings.failed_events.as_ref();
        let failed_events =
            failed_events.map(|queue| DeadLetterConfig::builder().arn(queue).build());
        let target = Target::builder()
            .arn(&self.settings.function)
            .role_arn(&self.settings.role)
            .input(input)
            .retry_policy(retries.build())
            .set_dead_letter_config(failed_events)
            .build()
            .map_err(build)?;
        let exactly = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let sent = self
            .client
            .create_schedule()
            .group_name(&self.settings.group)
            .name(format!("{}-{}", look.queue, minute.strftime("%Y%m%dT%H%M")))
            .schedule_expression(format!("at({})", minute.strftime("%Y-%m-%dT%H:%M:%S")))
            .flexible_time_window(exactly.map_err(build)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if is_there_already(&error) => Ok(()),
            Err(error) => Err(self.failed(topic, error)),
        }
    }

    fn failed(
        &self,
        topic: Topic,
        error: SdkError<CreateScheduleError, HttpResponse>,
    ) -> WakeError {
        let answer = error.as_service_error();
        let said = answer.and_then(CreateScheduleError::message).unwrap_or("it does not say why");
        let reason = match answer.and_then(CreateScheduleError::code) {
            Some("ResourceNotFoundException") => format!(
                "the group of schedules `{}` does not exist; deploy it with `make deploy`",
                self.settings.group
            ),
            Some("AccessDeniedException") => format!(
                "AWS does not allow `scheduler:CreateSchedule` in the group `{}`, or \
                 `iam:PassRole` of `{}` ({said}); add it to the policy of this role",
                self.settings.group, self.settings.role
            ),
            _ => {
                // Without the raw answer.
                let source = error.into_source().unwrap_or_else(Into::into);
                return WakeError::Transient { topic, source };
            }
        };
        WakeError::NoReceiver { topic, reason }
    }
}

impl fmt::Debug for LaterLooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaterLooks").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Somebody has arranged that minute.
fn is_there_already(error: &SdkError<CreateScheduleError, HttpResponse>) -> bool {
    error.as_service_error().is_some_and(CreateScheduleError::is_conflict_exception)
}

/// The first full minute that is not before `at`, and far enough ahead to be arranged.
fn minute_of(at: Timestamp, now: Timestamp) -> Timestamp {
    let soonest = at.max(later(now, SLACK));
    let seconds = soonest.as_second() + i64::from(soonest.subsec_nanosecond() > 0);
    let minute = seconds + (MINUTE - seconds.rem_euclid(MINUTE)).rem_euclid(MINUTE);
    Timestamp::from_second(minute).unwrap_or(at)
}

#[cfg(test)]
mod minutes {
    use super::*;

    #[test]
    fn looks_are_at_full_minutes_that_can_still_be_arranged() {
        let time = |text: &str| format!("2026-11-28T{text}Z").parse::<Timestamp>().unwrap();
        for (at, now, minute) in [
            ("10:02:00", "10:00:00", "10:02:00"),
            ("10:02:00.5", "10:00:00", "10:03:00"),
            ("10:02:01", "10:00:00", "10:03:00"),
            ("09:00:00", "10:00:00", "10:01:00"),
            ("10:00:00", "10:00:44", "10:01:00"),
            ("10:00:00", "10:00:46", "10:02:00"),
        ] {
            assert_eq!(minute_of(time(at), time(now)), time(minute), "{at} at {now}");
        }
    }
}
