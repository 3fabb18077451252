//! Works on the jobs of a queue: as long as something is due and the time of the invocation lasts.
//!
//! Whoever begins an invocation need not know whether there is something to do. As long as a job is
//! under way or due later, there is a schedule for another look, arranged before anything is begun
//! and when an invocation ends; so a lost invocation, or a worker that dies, delays jobs by minutes.
//! Nothing else has the queues looked at: where nothing is due, nothing is read.

mod crew;
mod stint_wake;

use std::sync::Arc;
use std::time::Duration;

use diogenes_api::jobs::{JobMetrics, Lane, LocalJobs, Stint, Worker};
use diogenes_backends::aws::event::{Look, WorkEvent};
use diogenes_backends::aws::lambda::InvokeWake;
use diogenes_backends::aws::scheduler::LaterLooks;
use diogenes_core::Timestamp;
use diogenes_core::causes::chain;
use diogenes_core::fleet::DeploymentId;
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::jobs::{Capacity, QueueName};
use diogenes_core::ports::{StoreError, Wake, WakeError};
use lambda_http::Error;
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tokio::sync::{Mutex, Notify, oneshot};

use self::crew::{Broom, Crew};
use self::stint_wake::StintWake;
use crate::environment::{duration, required};
use crate::http_functions::lambda;
use crate::metrics::report_jobs;
use crate::start::{Base, endpoint};
use crate::workers::{Duty, WorkersWake, later_looks};

/// What is left of an invocation once its jobs have come to their ends.
const RESERVE: Duration = Duration::from_secs(15);
/// How long an invocation waits for something to become due: less than it takes until a schedule runs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it takes at most until a new job is in the index. Also longer than a wake-up may be
/// merged with an earlier one.
const SETTLING: Duration = Duration::from_secs(2);
/// When an invocation is looked after that has just begun.
const WATCH: Duration = Duration::from_mins(2);
/// How many invocations may end without having got further, one after the other.
const FRUITLESS: u32 = 3;
/// When the next one is tried after that.
const RESPITE: Duration = Duration::from_mins(15);

/// What works on jobs.
pub struct Workers {
    base: Base,
    duty: Duty,
    deployment: DeploymentId,
    crew: Crew,
    bell: Arc<Notify>,
    wake: Arc<StintWake>,
    metrics: Arc<JobMetrics>,
    /// How long an invocation works at most.
    stint: Duration,
    ways: Mutex<Option<Arc<Ways>>>,
}

/// How this function is invoked again, which it learns from its first invocation: the template cannot
/// tell a function its own name.
struct Ways {
    function: String,
    now: InvokeWake,
    later: LaterLooks,
    /// To those who work on other queues, this function or another one.
    others: Arc<dyn Wake>,
}

/// Why an event was not carried out.
#[derive(thiserror::Error)]
pub enum WorkError {
    /// Nobody sends such events.
    #[error("unknown event: {0}")]
    Unknown(String),
    /// Its jobs would fail here.
    #[error("queue `{0}` is another function's")]
    Misdirected(QueueName),
    /// The next schedule looks again.
    #[error("the queue could not be read: {}", chain(.0))]
    Store(#[from] StoreError),
    /// Jobs may be forgotten.
    #[error("nothing looks after the jobs that are left: {}", chain(.0))]
    Wake(#[from] WakeError),
    #[error(transparent)]
    Setup(#[from] crate::environment::BadVariable),
    /// Somebody should have a look.
    #[error(
        "the jobs of queue `{0}` got no further in {FRUITLESS} invocations one after the other; \
         `diogenes job list` shows them, and the next attempt is in {minutes} minutes",
        minutes = RESPITE.as_secs() / 60
    )]
    Stalled(QueueName),
}

crate::display::debug_as_display!(WorkError);

impl Workers {
    /// Workers as the environment says.
    pub fn new(base: Base) -> Result<Self, Error> {
        let duty = Duty::of_environment()?;
        let bell = Arc::new(Notify::new());
        let wake = Arc::new(StintWake::new(bell.clone()));
        Ok(Self {
            duty,
            deployment: DeploymentId::new(required("DIOGENES_DEPLOYMENT")?),
            crew: Crew::of(duty, &base, wake.clone())?,
            bell,
            wake,
            metrics: Arc::new(JobMetrics::recording()),
            stint: duration("DIOGENES_STINT", Duration::from_hours(1))?,
            ways: Mutex::default(),
            base,
        })
    }

    /// Looks at a queue, works, and sees to it that whatever is left then is looked at again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<(), WorkError> {
        let context = event.context;
        let shown: String = event.payload.to_string().chars().take(300).collect();
        let Ok(WorkEvent::Work(look)) = serde_json::from_value(event.payload) else {
            return Err(WorkError::Unknown(shown));
        };
        if Duty::of(&look.queue) != self.duty {
            return Err(WorkError::Misdirected(look.queue));
        }
        let ways = self.ways(&context.invoked_function_arn).await?;
        let Some(due) = self.next_due(&look.queue).await? else { return Ok(()) };
        self.wake.begin(look.queue.clone(), ways.others.clone());
        if self.until(due) > PATIENCE {
            return self.look_later(&ways, look, due).await;
        }
        let watch = later(self.base.clock.now(), WATCH);
        self.look_later(&ways, look.clone(), watch).await?;
        let end = i64::try_from(context.deadline).ok();
        let end = end.and_then(|end| Timestamp::from_millisecond(end).ok()).unwrap_or(due);
        let time = self.until(end).saturating_sub(RESERVE + self.crew.grace).min(self.stint);
        let end = later(self.base.clock.now(), time);
        let mut got_further = false;
        loop {
            let stint = self.work(&look.queue, &context.request_id, self.until(end)).await;
            got_further |= stint.got_further;
            let due = self.next_due(&look.queue).await?;
            self.report(&look.queue, due).await;
            let Some(due) = due else {
                self.sweep().await;
                return Ok(());
            };
            let is_soon = self.until(due) <= PATIENCE;
            if stint.was_stopped {
                let fruitless = if got_further { 0 } else { look.fruitless + 1 };
                return self.go_on(&ways, Look { fruitless, ..look }, due, is_soon).await;
            }
            // What it could not take is in a queue that has as many running as it may.
            if !is_soon || stint.begun == 0 {
                return self.look_later(&ways, Look { fruitless: 0, ..look }, due).await;
            }
        }
    }

    /// Removes contents that nobody reads any more, once a day at most and only on days with jobs.
    async fn sweep(&self) {
        let now = self.base.clock.now();
        let (swept, left): (Result<usize, Error>, _) = match &self.crew.sweeper {
            None => return,
            Some(Broom::Files(sweeper)) => (
                sweeper.sweep_daily(now).await.map_err(Error::from),
                "files that have expired were not removed",
            ),
            Some(Broom::Datasets(sweeper)) => (
                sweeper.sweep_daily(now).await.map_err(Error::from),
                "what no snapshot of a dataset needs was not removed",
            ),
        };
        if let Err(error) = swept {
            tracing::warn!(error = &*error as &dyn std::error::Error, "{left}");
        }
    }

    /// Writes the metrics of a stint. A queue where nothing is due is not counted.
    async fn report(&self, queue: &QueueName, due: Option<Timestamp>) {
        let (attempts, now) = (self.metrics.take(), self.base.clock.now());
        let depth = if due.is_some_and(|due| due <= now) {
            let depth = async { self.crew.jobs.depth(self.crew.jobs.queue(queue).await?).await };
            let counted: Result<_, StoreError> = depth.await;
            counted
                .inspect_err(|error| {
                    tracing::warn!(
                        queue = %queue, error = error as &dyn std::error::Error,
                        "a queue could not be counted"
                    );
                })
                .ok()
        } else {
            None
        };
        report_jobs(&self.deployment, &attempts, depth.as_ref(), now);
    }

    /// Leaves what is left to another invocation.
    async fn go_on(
        &self,
        ways: &Ways,
        look: Look,
        due: Timestamp,
        is_soon: bool,
    ) -> Result<(), WorkError> {
        if look.fruitless >= FRUITLESS {
            let (queue, respite) = (look.queue.clone(), later(self.base.clock.now(), RESPITE));
            self.look_later(ways, look, respite).await?;
            return Err(WorkError::Stalled(queue));
        }
        if !is_soon {
            return self.look_later(ways, look, due).await;
        }
        tracing::info!(
            queue = %look.queue, fruitless = look.fruitless, "going on in another invocation"
        );
        Ok(ways.now.work(&WorkEvent::Work(look)).await?)
    }

    async fn work(&self, queue: &QueueName, invocation: &str, time: Duration) -> Stint {
        let (jobs, clock) = (self.crew.jobs.clone(), self.base.clock.clone());
        let worker = Worker {
            source: Arc::new(LocalJobs { jobs, clock, name: invocation.to_owned() }),
            most: self.crew.most,
            capacity: Capacity::default(),
            lanes: vec![Lane { queue: queue.clone(), concurrency: self.crew.most }],
            handlers: self.crew.handlers.clone(),
            grace: self.crew.grace,
            bell: self.bell.clone(),
            metrics: self.metrics.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let _ = stop.send(());
        });
        let stint = worker.run_while_due(PATIENCE, stopped).await;
        alarm.abort();
        stint
    }

    fn until(&self, at: Timestamp) -> Duration {
        since(self.base.clock.now(), at)
    }

    /// When something is to be done. It asks twice before it says never, or not soon: the index may
    /// lag, and of what was created in this moment nobody may have been told.
    async fn next_due(&self, queue: &QueueName) -> Result<Option<Timestamp>, StoreError> {
        let due = self.crew.jobs.next_due(queue).await?;
        if due.is_some_and(|due| self.until(due) <= PATIENCE) {
            return Ok(due);
        }
        tokio::time::sleep(SETTLING).await;
        self.crew.jobs.next_due(queue).await
    }

    async fn look_later(&self, ways: &Ways, look: Look, at: Timestamp) -> Result<(), WorkError> {
        let now = self.base.clock.now();
        Ok(ways.later.arrange(&WorkEvent::Work(look), at, now).await?)
    }

    async fn ways(&self, function: &str) -> Result<Arc<Ways>, WorkError> {
        let mut known = self.ways.lock().await;
        if let Some(ways) = known.as_ref().filter(|ways| ways.function == function) {
            return Ok(ways.clone());
        }
        let client = lambda(&self.base.config, endpoint("AWS_ENDPOINT_URL_LAMBDA"));
        let others = match self.duty {
            Duty::Inference => WorkersWake::of_environment(&self.base, &[Duty::Outbound])?,
            Duty::Transfers | Duty::Outbound => {
                WorkersWake::of(&self.base, [(self.duty, function.to_owned())])?
            }
        };
        let ways = Arc::new(Ways {
            function: function.to_owned(),
            now: InvokeWake::of_workers(client, function),
            later: later_looks(&self.base, function.to_owned())?,
            others,
        });
        *known = Some(ways.clone());
        Ok(ways)
    }
}
