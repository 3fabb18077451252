use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Method;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::answer::Answer;
use super::call::{Call, Protocol};
use super::fault::Fault;

/// A one-time schedule of EventBridge Scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub name: String,
    pub at: Timestamp,
    /// The ARN of the function.
    pub target: String,
    /// The ARN of the role that invokes it.
    pub role: String,
    pub input: String,
}

/// The schedules of a front, by group and name. Only `CreateSchedule` is known, and of schedules
/// those that run once and go away.
#[derive(Debug, Default)]
pub(super) struct Schedules(Mutex<BTreeMap<(String, String), Schedule>>);

impl Schedules {
    pub(super) fn answer(&self, call: &Call) -> Answer {
        let name = call.parts.uri.path().strip_prefix("/schedules/").unwrap_or_default().to_owned();
        if call.parts.method != Method::POST || name.is_empty() {
            return fault("ValidationException", "this Scheduler only creates schedules", 400);
        }
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let Some((group, schedule)) = read(name, &body) else {
            return fault("ValidationException", &format!("not known here: {body}"), 400);
        };
        if schedule.at <= Timestamp::now() {
            return fault("ValidationException", "the time has passed", 400);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (group, schedule.name.clone());
        if all.contains_key(&key) {
            return fault("ConflictException", "the schedule exists already", 409);
        }
        all.insert(key, schedule);
        Answer::new(200, "application/json", r#"{"ScheduleArn":"arn:aws:scheduler:x"}"#)
    }

    pub(super) fn list(&self) -> Vec<Schedule> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    /// Takes those out whose time has come, or all.
    pub(super) fn take(&self, until: Option<Timestamp>) -> Vec<Schedule> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |schedule: &Schedule| until.is_none_or(|until| schedule.at <= until);
        let due = all.values().filter(|schedule| is_due(schedule)).cloned().collect();
        all.retain(|_, schedule| !is_due(schedule));
        due
    }
}

fn read(name: String, body: &Value) -> Option<(String, Schedule)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let at = body["ScheduleExpression"].as_str()?.strip_prefix("at(")?.strip_suffix(')')?;
    let at = at.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let is_known = body["ActionAfterCompletion"] == "DELETE"
        && body["FlexibleTimeWindow"]["Mode"] == "OFF"
        && body["ScheduleExpressionTimezone"].is_null();
    let target = &body["Target"];
    let schedule = Schedule {
        name,
        at,
        target: text(&target["Arn"])?,
        role: text(&target["RoleArn"])?,
        input: text(&target["Input"])?,
    };
    is_known.then_some((text(&body["GroupName"])?, schedule))
}

fn fault(code: &str, message: &str, status: u16) -> Answer {
    Fault::new(code, message).status(status).answer(Protocol::Rest)
}
