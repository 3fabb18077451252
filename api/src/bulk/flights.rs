//! The requests that are under way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::name::ModelName;
use diogenes_core::tenancy::Principal;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::MOST_WRITES;
use super::patron::Trouble;
use crate::jobs::Stop;
use crate::proxy::{Gateway, Ground};

/// How often somebody looks at what has changed around a job that runs.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is written anew that models are wanted.
const RENEW: Duration = Duration::from_mins(1);

/// What is to be asked, and what becomes of the answers.
#[async_trait]
pub(crate) trait Load: Send + Sync {
    type Question: Send + 'static;
    type Answer: Send + 'static;

    /// The next question; none once there are no more.
    async fn next(&mut self) -> Result<Option<Self::Question>, Trouble>;

    /// Asks one.
    fn ask(
        &self,
        question: Self::Question,
    ) -> BoxFuture<'static, Asked<Self::Question, Self::Answer>>;

    /// Keeps answers, before others are begun in their places.
    async fn keep(
        &mut self,
        answers: Vec<Self::Answer>,
        counts_are_due: bool,
    ) -> Result<(), Trouble>;

    /// Whether no further question is begun.
    fn is_over(&self, stop: Stop) -> bool;

    /// Wants the models for a while longer.
    async fn hold(&self, model: Option<&ModelName>) -> Result<(), Trouble>;

    /// Says how far it is.
    fn tell(&self);
}

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Asked<Q, A> {
    Answered(A),
    /// Its model does not run; it is asked again once that does.
    NotNow(Q),
}

/// How the asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// Every question has its answer.
    Done,
    /// The load is over before its end.
    Over,
    /// Another attempt goes on: this worker stops, or the model does not run.
    Released,
}

/// The requests that are under way.
pub(crate) struct Flights<L: Load> {
    pub(crate) load: L,
    gateway: Arc<Gateway>,
    principal: Arc<Principal>,
    /// What requests name; nothing where none are sent.
    name: Option<String>,
    model: Option<ModelName>,
    room: u32,
    /// How many there may be, however much room there is.
    most: u32,
    tasks: JoinSet<Asked<L::Question, L::Answer>>,
    is_read: bool,
    /// Those that came back without an answer.
    again: Vec<L::Question>,
    /// Whether the model does not run.
    is_grounded: bool,
}

impl<L: Load> Flights<L> {
    /// Requests for what `name` leads to, `room` of them at once.
    pub(crate) fn new(
        load: L,
        gateway: Arc<Gateway>,
        principal: Arc<Principal>,
        name: Option<String>,
        ground: (Option<ModelName>, u32),
        most: u32,
    ) -> Self {
        let (model, room) = ground;
        Self {
            load,
            gateway,
            principal,
            name,
            model,
            room,
            most,
            tasks: JoinSet::new(),
            is_read: false,
            again: Vec::new(),
            is_grounded: false,
        }
    }

    /// Asks until there is nothing left, or something speaks against it. What is under way after an error is lost with
    /// it, and asked again by the next attempt.
    pub(crate) async fn fly(&mut self, mut stop: watch::Receiver<Stop>) -> Result<Landed, Trouble> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed: Option<Instant> = None;
        let mut counted = Instant::now();
        loop {
            let why = *stop.borrow_and_update();
            let is_over = self.load.is_over(why);
            if !is_over && why == Stop::No && !self.is_grounded {
                self.fill().await?;
            }
            if self.tasks.is_empty() {
                if is_over {
                    return Ok(Landed::Over);
                }
                // The next attempt waits until the model runs again.
                if why == Stop::Shutdown || self.is_grounded {
                    return Ok(Landed::Released);
                }
                if self.is_read && self.again.is_empty() {
                    return Ok(Landed::Done);
                }
            }
            tokio::select! {
                Some(asked) = self.tasks.join_next() => {
                    let mut all = vec![asked];
                    while all.len() < MOST_WRITES
                        && let Some(asked) = self.tasks.try_join_next()
                    {
                        all.push(asked);
                    }
                    let mut answers = Vec::with_capacity(all.len());
                    for asked in all {
                        match asked.map_err(|error| Trouble::Other(error.to_string()))? {
                            Asked::Answered(answer) => answers.push(answer),
                            Asked::NotNow(question) => {
                                self.again.push(question);
                                self.is_grounded = true;
                            }
                        }
                    }
                    let is_due = counted.elapsed() >= LOOK;
                    self.load.keep(answers, is_due).await?;
                    if is_due {
                        counted = Instant::now();
                    }
                }
                _ = look.tick() => {
                    if renewed.is_none_or(|at| at.elapsed() >= RENEW) {
                        self.load.hold(self.model.as_ref()).await?;
                        renewed = Some(Instant::now());
                    }
                    self.look().await;
                    self.load.tell();
                }
                changed = stop.changed() => {
                    if changed.is_err() {
                        return Err(Trouble::Other("the worker is gone".into()));
                    }
                }
            }
        }
    }

    /// Begins as many requests as there is room for.
    async fn fill(&mut self) -> Result<(), Trouble> {
        // Places are given up at once, and taken back only when it looks: a caller who asks one
        // question after the other would have to wait between the two.
        let now = self.model.as_ref().and_then(|model| self.gateway.room(model, self.ours()));
        self.room = now.map_or(self.room, |now| now.min(self.room));
        while self.tasks.len() < self.room.min(self.most) as usize {
            let waiting = self.again.pop();
            if waiting.is_none() && self.is_read {
                return Ok(());
            }
            let next = match waiting {
                Some(question) => Some(question),
                None => self.load.next().await?,
            };
            let Some(question) = next else {
                self.is_read = true;
                return Ok(());
            };
            self.tasks.spawn(self.load.ask(question));
        }
        Ok(())
    }

    fn ours(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// Takes over how much room there is.
    async fn look(&mut self) {
        let Some(name) = &self.name else { return };
        let ground = self.gateway.ground(&self.principal, name, self.ours()).await;
        // A replica that is gone is waited for by the requests themselves.
        if let Ok(Ground::Ready { room, model }) = ground {
            // Nobody knows how much room there is at a provider; who says how much is wanted knows best.
            self.room = if model.is_none() { room.max(self.room) } else { room };
        }
    }
}
