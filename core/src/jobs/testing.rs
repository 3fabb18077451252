use std::collections::BTreeMap;

use super::{ClaimToken, Creator, Job, JobId, JobState, Priority, Waits};
use crate::Timestamp;
use crate::keys::KeyId;
use crate::tenancy::ProjectId;

/// The time `seconds` after the epoch.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(super) fn token(number: u64) -> ClaimToken {
    ClaimToken::from_caller(&format!("{number:032x}")).unwrap()
}

/// A job that may begin at the epoch.
pub(super) fn job(number: u64) -> Job {
    Job {
        id: JobId::from_caller(&format!("{number:032x}")).unwrap(),
        project: ProjectId::default(),
        kind: "noop".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::default(),
        created_at: at(0),
        created_by: Creator { subject: "operator".into(), key: KeyId::from_caller("") },
        state: JobState::Waiting { why: Waits::Start },
        run_at: at(0),
        attempt: 0,
        max_attempts: 5,
        started_at: None,
        finished_at: None,
        cancel_requested_at: None,
        progress: None,
        failure: None,
        result: None,
        cleans_up: false,
        unique_key: None,
        tags: BTreeMap::new(),
    }
}
