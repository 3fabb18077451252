use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{Phase, Progress};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::call::Call;
use super::destination::Destination;
use super::entry::Entry;
use super::fleet_link::{Admitted, FleetLink, Place, Room};
use super::line::Ticket;
use super::refusal;
use super::route::Route;
use crate::error::{ApiError, store_error};

/// How often a held stream is told how far the boot is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The wait of one request for a replica.
pub(super) struct Hold {
    pub(super) since: Timestamp,
    /// Its place among the requests that wait; none while an attempt is under way.
    pub(super) place: Option<Place>,
    /// The model that it waits for.
    entry: Arc<Entry>,
    began: Instant,
    /// Of every model of the route: any may be the first to serve.
    changes: Vec<watch::Receiver<u64>>,
    look: Pin<Box<Sleep>>,
    report: Pin<Box<Sleep>>,
    report_every: Duration,
    reported: Option<Phase>,
}

/// What a wait comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something may have changed.
    Changed,
    /// The caller may be told how far the boot is.
    Report,
}

impl Hold {
    /// Takes a place among the requests that wait for the model of `entry`, and wakes it.
    pub(super) async fn begin(
        route: &Route,
        entry: &Arc<Entry>,
        link: &dyn FleetLink,
        call: &Call,
    ) -> Result<Self, ApiError> {
        let models = route.destinations().filter_map(Destination::entry);
        let changes = models.map(|entry| entry.changes()).collect();
        let view = entry.view();
        let since = entry.now();
        let place = take_place(entry, link, call).await?;
        let began = Instant::now();
        let report_every = match view.model.spec.hold_event_interval {
            interval if interval.is_zero() || !call.patience.stream => REPORT_EVERY,
            interval => interval.min(REPORT_EVERY),
        };
        Ok(Self {
            since,
            place: Some(place),
            entry: entry.clone(),
            began,
            changes,
            look: Box::pin(tokio::time::sleep(link.pause(&view.progress(since)))),
            report: Box::pin(tokio::time::sleep_until(began)),
            report_every,
            reported: None,
        })
    }

    /// Whether it waits for the model of `entry`.
    pub(super) fn is_for(&self, entry: &Arc<Entry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
    }

    /// Goes on with waiting, for another model. The time that it has waited counts.
    pub(super) async fn turn_to(
        &mut self,
        entry: &Arc<Entry>,
        link: &dyn FleetLink,
        call: &Call,
    ) -> Result<(), ApiError> {
        self.place = None;
        self.place = Some(take_place(entry, link, call).await?);
        self.entry = entry.clone();
        self.reported = None;
        Ok(())
    }

    /// The time since the wait began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What changes from here on ends the next [`turn`](Self::turn).
    pub(super) fn mark(&mut self) {
        for changes in &mut self.changes {
            changes.mark_unchanged();
        }
    }

    /// Waits until something may have changed, it may be its turn, or for the next report; at most until the wait has
    /// lasted for `most` in all. Cancel-safe.
    pub(super) async fn turn(
        &mut self,
        entry: &Entry,
        link: &dyn FleetLink,
        progress: &Progress,
        ticket: Option<&Ticket>,
        most: Option<Duration>,
    ) -> Turn {
        if self.reported.is_some_and(|phase| phase != progress.phase) {
            return self.tell(progress);
        }
        let ends = most.and_then(|most| self.began.checked_add(most));
        tokio::select! {
            () = any(&mut self.changes) => Turn::Changed,
            () = called(ticket) => Turn::Changed,
            () = until(ends) => Turn::Changed,
            () = &mut self.report => self.tell(progress),
            () = &mut self.look => {
                link.look(entry, self.since).await;
                self.look.as_mut().reset(Instant::now() + link.pause(progress));
                Turn::Changed
            }
        }
    }

    fn tell(&mut self, progress: &Progress) -> Turn {
        self.reported = Some(progress.phase);
        self.report.as_mut().reset(Instant::now() + self.report_every);
        Turn::Report
    }
}

async fn called(ticket: Option<&Ticket>) {
    match ticket {
        Some(ticket) => ticket.called().await,
        None => std::future::pending().await,
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// A place among the requests that wait for a model, which is woken.
async fn take_place(
    entry: &Arc<Entry>,
    link: &dyn FleetLink,
    call: &Call,
) -> Result<Place, ApiError> {
    let view = entry.view();
    let spec = &view.model.spec;
    let of_key = spec.max_held_per_key.map(|most| (call.by.limit_key(), most));
    let admitted = link.enter(entry, Room { most: spec.max_held, of_key }).await;
    let place = match admitted.map_err(|error| store_error(&error))? {
        Admitted::Place(place) => place,
        Admitted::Full(limit) => {
            let is_ready = entry.is_reachable();
            return Err(refusal::too_many_held(&view, limit, is_ready, entry.now()));
        }
    };
    link.ask(entry).await;
    entry.metrics.held_request();
    Ok(place)
}

/// Waits for the first change.
async fn any(changes: &mut [watch::Receiver<u64>]) {
    if let [changes] = changes {
        // An error means that the entry is gone with its sender: impossible while it is waited for.
        let _ = changes.changed().await;
        return;
    }
    let all = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
    let _ = futures_util::future::select_all(all).await;
}
