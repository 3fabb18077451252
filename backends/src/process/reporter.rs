//! What the agent is on an instance: watches one inference server and reports how it is doing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{Beat, BeatStatus, ClaimId, Load, Phase};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Expect, StoreError, Topic};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::logs::PhaseReader;
use super::record::RunRecord;
use crate::engine::health::{Change, Health, Probe};
use crate::engine::port::{Misplaced, PortWatch};

/// How often the log of a booting server is read.
const LOG_INTERVAL: Duration = Duration::from_millis(100);
/// How long one health check may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a booting server is asked at first. A refused connection on loopback costs some
/// 30 µs, and the callers are held until the answer.
const EAGER: Duration = Duration::from_millis(10);
/// How often it is asked later.
const PATIENT: Duration = Duration::from_millis(25);
/// For how long a boot counts as young.
const YOUNG: Duration = Duration::from_mins(1);
/// How often it is seen whether a server still listens. A process that lives and refuses
/// connections serves nobody, and it costs less to find out than a health check.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a beat stands.
const BEAT_LIFE: Duration = Duration::from_hours(24);
/// After how long a beat that still holds is written again, so that it does not expire.
const REFRESH: Duration = Duration::from_hours(12);
/// The first and the longest pause before a write to the store is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Reports one server, from its boot on.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    claim: ClaimId,
    model: ModelName,
    probe: Probe,
}

impl Reporter {
    /// Reports the server of `record`.
    pub(super) fn new(shared: Arc<Shared>, record: &RunRecord) -> Self {
        let listens = SocketAddr::new(record.host, record.port);
        Self {
            probe: Probe::new(listens, &record.health_path, &record.upstream_key, PATIENCE),
            claim: record.claim.clone(),
            model: record.model.clone(),
            shared,
        }
    }

    /// Reports from the start, or for an `adopted` instance from where the report of an earlier
    /// `serve` stands.
    pub(super) async fn run(self, adopted: bool) -> Infallible {
        let standing = if adopted { self.standing().await } else { None };
        let well = Health::default();
        let (phase, health) = match standing {
            Some(BeatStatus::Booting { phase }) => (Some(phase), well),
            Some(BeatStatus::Ready { base_url }) if base_url == self.probe.base_url() => {
                (None, well)
            }
            Some(BeatStatus::Unhealthy { .. }) => (None, Health::unwell()),
            Some(BeatStatus::Ready { .. } | BeatStatus::Interrupted { .. }) | None => {
                self.report(booting(Phase::Boot)).await;
                (Some(Phase::Boot), well)
            }
        };
        if let Some(phase) = phase {
            self.boot(phase).await;
            self.report(self.ready()).await;
        }
        self.serve(health).await
    }

    /// Returns once the server answers its health check.
    async fn boot(&self, mut phase: Phase) {
        let log = self.shared.logs.path_of(&self.model, &self.claim);
        let mut reader = PhaseReader::new(log);
        let mut port = PortWatch::new(self.shared.settings.health_interval, true);
        let pause = |elapsed| if elapsed < YOUNG { EAGER } else { PATIENT };
        let ready = self.probe.until_ready(pause);
        tokio::pin!(ready);
        loop {
            tokio::select! {
                () = &mut ready => return,
                () = sleep(LOG_INTERVAL) => {}
            }
            let look = tokio::task::spawn_blocking(move || {
                // A log that cannot be read costs no more than the phases.
                let reached = reader.advance().ok().flatten();
                (reader, reached)
            });
            let Ok((back, reached)) = look.await else {
                return ready.await;
            };
            reader = back;
            if let Some(reached) = reached.filter(|reached| *reached > phase) {
                phase = reached;
                self.report(booting(phase)).await;
            }
            match port.look(reader.listens_on(), &self.probe).await {
                None => {}
                Some(Misplaced::Suspected(what)) => tracing::warn!(
                    model = %self.model, claim = %self.claim,
                    "the log of `{}` {what}", self.model
                ),
                Some(Misplaced::GivenUp(reason)) => {
                    self.report(BeatStatus::Unhealthy { reason }).await;
                    // Its end is all that is left.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Checks a server that was ready, for ever.
    async fn serve(&self, mut health: Health) -> Infallible {
        let interval = self.shared.settings.health_interval;
        let glance = GLANCE.min(interval);
        let (mut reported, mut checked) = (Instant::now(), Instant::now());
        loop {
            sleep(glance).await;
            let is_refused = self.probe.is_refused().await;
            let mut change = health.glance(is_refused);
            let mut is_well = false;
            if !is_refused && checked.elapsed() >= interval {
                checked = Instant::now();
                let check = self.probe.check().await;
                is_well = check.is_ok();
                change = health.see(&check);
            }
            let status = match change {
                Some(Change::Unwell(reason)) => BeatStatus::Unhealthy { reason },
                Some(Change::Well) => self.ready(),
                None if is_well && reported.elapsed() >= REFRESH => self.ready(),
                None => continue,
            };
            self.report(status).await;
            reported = Instant::now();
        }
    }

    fn ready(&self) -> BeatStatus {
        BeatStatus::Ready { base_url: self.probe.base_url() }
    }

    async fn standing(&self) -> Option<BeatStatus> {
        let key = Beat::key_of(&self.claim);
        let mut pause = RETRY.0;
        loop {
            match self.shared.store.load::<Beat>(&key).await {
                Ok(beat) => return beat.map(|beat| beat.value.status),
                Err(StoreError::Corrupt { .. }) => return None,
                Err(error) => wait(&mut pause, &self.model, &error).await,
            }
        }
    }

    /// Writes a beat, however long the store takes, and has the model reconciled.
    async fn report(&self, status: BeatStatus) {
        let beat = self.shared.beat(&self.model, &self.claim, status).await;
        let mut pause = RETRY.0;
        while let Err(error) = self.shared.store.save(beat.clone(), Expect::Any).await {
            wait(&mut pause, &self.model, &error).await;
        }
        self.shared.reconcile(&self.model).await;
    }
}

impl Shared {
    /// A beat of now, with the end of the log.
    pub(super) async fn beat(
        &self,
        model: &ModelName,
        claim: &ClaimId,
        status: BeatStatus,
    ) -> Beat {
        let (logs, of, whose) = (self.logs.clone(), model.clone(), claim.clone());
        let log_tail = tokio::task::spawn_blocking(move || logs.tail(&of, &whose));
        let now = self.clock.now();
        Beat {
            claim: claim.clone(),
            status,
            load: Load::default(),
            // A claim of this backend has one process only.
            instance: None,
            log_tail: log_tail.await.unwrap_or_default(),
            log_end: 0,
            at: now,
            expires_at: now.checked_add(BEAT_LIFE).unwrap_or(Timestamp::MAX),
        }
    }

    /// Writes a beat once, for one that nothing waits for.
    pub(super) async fn try_report(&self, model: &ModelName, claim: &ClaimId, status: BeatStatus) {
        let beat = self.beat(model, claim, status).await;
        if let Err(error) = self.store.save(beat, Expect::Any).await {
            log(model, &error);
        }
    }

    /// Asks for a reconcile of `model`; the periodic one makes up for a failure.
    pub(super) async fn reconcile(&self, model: &ModelName) {
        if let Err(error) = self.wake.wake(&Topic::Model(model.clone())).await {
            tracing::debug!(
                model = %model, error = &error as &dyn std::error::Error,
                "no reconcile of `{model}` could be requested"
            );
        }
    }
}

/// A boot that has come as far as `phase`.
pub(super) fn booting(phase: Phase) -> BeatStatus {
    BeatStatus::Booting { phase }
}

async fn wait(pause: &mut Duration, model: &ModelName, error: &StoreError) {
    log(model, error);
    sleep(*pause).await;
    *pause = (*pause * 2).min(RETRY.1);
}

fn log(model: &ModelName, error: &StoreError) {
    tracing::warn!(
        model = %model, error = error as &dyn std::error::Error,
        "the state of an instance of `{model}` could not be reported"
    );
}
