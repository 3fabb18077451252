//! The functions that work on jobs: which queue is whose, and how they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use diogenes_api::jobs::HttpJobs;
use diogenes_backends::aws::event::WorkEvent;
use diogenes_backends::aws::lambda::InvokeWake;
use diogenes_backends::aws::scheduler::{LaterLooks, ScheduleSettings};
use diogenes_core::Timestamp;
use diogenes_core::batches::Batch;
use diogenes_core::datasets::{EXPORT, IMPORT};
use diogenes_core::evals::EvalRun;
use diogenes_core::jobs::{JobKind, QueueName, WEBHOOK};
use diogenes_core::ports::{Clock, Topic, Wake, WakeError};
use diogenes_core::wake::ElectedWake;

use crate::environment::{BadVariable, required};
use crate::http_functions::lambda;
use crate::start::{Base, endpoint};

/// The kinds of jobs that there are on AWS.
pub const KINDS: [JobKind; 6] = [Batch::JOB, EvalRun::JOB, IMPORT, EXPORT, HttpJobs::JOB, WEBHOOK];

/// What a function that works on jobs does. All are one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Batches and evals: within the VPC, where the replicas are.
    Inference,
    /// Imports and exports of datasets, which are between the bucket and the table.
    Transfers,
    /// Requests to the servers of others: `http` jobs and webhooks. Outside the VPC, whose subnets
    /// reach only what has an IPv6 address.
    Outbound,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 3] = [Self::Inference, Self::Transfers, Self::Outbound];

    /// Whose a queue is. No caller's job waits in a queue of the server's own.
    pub fn of(queue: &QueueName) -> Self {
        let is_of = |kinds: &[JobKind]| kinds.iter().any(|kind| *queue == QueueName::from(kind));
        if is_of(&[Batch::JOB, EvalRun::JOB]) {
            Self::Inference
        } else if is_of(&[IMPORT, EXPORT]) {
            Self::Transfers
        } else {
            Self::Outbound
        }
    }

    /// The duty that the environment names.
    pub fn of_environment() -> Result<Self, BadVariable> {
        const NAME: &str = "DIOGENES_DUTY";
        match required(NAME)?.as_str() {
            "inference" => Ok(Self::Inference),
            "transfers" => Ok(Self::Transfers),
            "outbound" => Ok(Self::Outbound),
            _ => Err(BadVariable::new(NAME, "must be `inference`, `transfers` or `outbound`")),
        }
    }

    /// The variable that names its function to others.
    fn variable(self) -> &'static str {
        match self {
            Self::Inference => "DIOGENES_WORKERS",
            Self::Transfers => "DIOGENES_TRANSFERS",
            Self::Outbound => "DIOGENES_OUTBOUND",
        }
    }
}

/// Wakes the workers of queues, by an invocation now and by a schedule later. Of many processes that
/// wake those of one queue at once, one does.
pub struct WorkersWake {
    crews: BTreeMap<Duty, Crew>,
    clock: Arc<dyn Clock>,
}

struct Crew {
    invoke: InvokeWake,
    later: LaterLooks,
}

impl WorkersWake {
    /// Wakes these functions, by their ARNs.
    pub fn of(
        base: &Base,
        functions: impl IntoIterator<Item = (Duty, String)>,
    ) -> Result<Arc<dyn Wake>, BadVariable> {
        let client = lambda(&base.config, endpoint("AWS_ENDPOINT_URL_LAMBDA"));
        let crew = |(duty, function): (Duty, String)| {
            let invoke = InvokeWake::of_workers(client.clone(), &function);
            Ok((duty, Crew { invoke, later: later_looks(base, function)? }))
        };
        let crews = functions.into_iter().map(crew).collect::<Result<_, BadVariable>>()?;
        let wake = Arc::new(Self { crews, clock: base.clock.clone() });
        Ok(Arc::new(ElectedWake::new(wake, base.store.clone(), base.clock.clone())))
    }

    /// Wakes the functions of these duties that the environment names.
    pub fn of_environment(base: &Base, duties: &[Duty]) -> Result<Arc<dyn Wake>, BadVariable> {
        let named = duties.iter().map(|duty| Ok((*duty, required(duty.variable())?)));
        Self::of(base, named.collect::<Result<Vec<_>, BadVariable>>()?)
    }

    fn crew(&self, topic: &Topic, queue: &QueueName) -> Result<&Crew, WakeError> {
        let duty = Duty::of(queue);
        self.crews.get(&duty).ok_or_else(|| WakeError::NoReceiver {
            topic: topic.clone(),
            reason: format!("this function does not know the workers of {duty:?}"),
        })
    }
}

#[async_trait]
impl Wake for WorkersWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        match topic {
            Topic::Queue(queue) => self.crew(topic, queue)?.invoke.wake(topic).await,
            Topic::Model(_) => Ok(()),
        }
    }

    async fn wake_at(&self, topic: &Topic, at: Timestamp) -> Result<(), WakeError> {
        match topic {
            Topic::Queue(queue) => {
                let event = WorkEvent::new(queue.clone());
                self.crew(topic, queue)?.later.arrange(&event, at, self.clock.now()).await
            }
            Topic::Model(_) => Ok(()),
        }
    }
}

/// Schedules that invoke `function`, an ARN, as the environment says.
pub fn later_looks(base: &Base, function: String) -> Result<LaterLooks, BadVariable> {
    let settings = ScheduleSettings {
        group: required("DIOGENES_SCHEDULES")?,
        function,
        role: required("DIOGENES_SCHEDULE_ROLE")?,
        failed_events: Some(required("DIOGENES_FAILED_EVENTS")?),
    };
    let config = aws_sdk_scheduler::config::Builder::from(&base.config);
    let config = match endpoint("AWS_ENDPOINT_URL_SCHEDULER") {
        Some(endpoint) => config.endpoint_url(endpoint),
        // The subnets of the workers on inference have no way out but IPv6.
        None => config.use_dual_stack(true),
    };
    Ok(LaterLooks::new(aws_sdk_scheduler::Client::from_conf(config.build()), settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_models_is_worked_on_within_the_vpc() {
        for (queue, duty) in [
            ("batch", Duty::Inference),
            ("eval", Duty::Inference),
            ("import", Duty::Transfers),
            ("export", Duty::Transfers),
            ("http", Duty::Outbound),
            ("webhook", Duty::Outbound),
            ("nightly", Duty::Outbound),
        ] {
            assert_eq!(Duty::of(&queue.parse().unwrap()), duty, "{queue}");
        }
    }
}
