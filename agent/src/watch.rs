//! The tasks that find out how the instance is doing. None of them ever ends.

use std::convert::Infallible;
use std::time::Duration;

use diogenes_backends::engine::health::{Change, Health, Probe};
use diogenes_backends::engine::port::{Misplaced, PortWatch};
use diogenes_core::fleet::{ClaimId, Lease, Phase};
use diogenes_core::ports::StateStore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::deadman::{DeadMan, News};
use crate::engine::{Client, Log, Meter, Metrics, Shared, Unanswered, lock};
use crate::facts::Facts;
use crate::metadata::{Metadata, interruption};
use crate::settings::Pace;

/// Sets the phase of the boot, which never goes back.
pub(crate) fn advance(facts: &watch::Sender<Facts>, reached: Phase) {
    facts.send_if_modified(|facts| {
        let further = reached > facts.phase;
        facts.phase = facts.phase.max(reached);
        further
    });
}

/// Waits until it is clear that the server listens on another port than its own; returns the
/// reason to give it up. A machine of the fleet has one port that can be reached.
pub(crate) async fn misplaced(probe: &Probe, log: &Shared<Log>, pace: Pace) -> String {
    let mut port = PortWatch::new(pace.check_ready, false);
    loop {
        sleep(pace.check_boot).await;
        let announced = lock(log).listens_on();
        match port.look(announced, probe).await {
            None => {}
            Some(Misplaced::Suspected(what)) => tracing::warn!("the log {what}"),
            Some(Misplaced::GivenUp(reason)) => return reason,
        }
    }
}

/// Watches the health and the load of a server that was ready.
pub(crate) async fn health(
    probe: &Probe,
    client: &Client,
    facts: &watch::Sender<Facts>,
    meter: &Shared<Meter>,
    pace: Pace,
) -> Infallible {
    let mut health = Health::default();
    loop {
        match client.get("/metrics").await {
            Ok(text) => lock(meter).see(Metrics::parse(&String::from_utf8_lossy(&text))),
            // A server without metrics tells no load. One that is slow keeps its last one.
            Err(Unanswered::Status(_)) => lock(meter).see(Metrics::default()),
            Err(_) => {}
        }
        sleep(pace.check_ready).await;
        let check = probe.check().await;
        if let Err(error) = &check {
            tracing::debug!(error = error as &dyn std::error::Error, "a health check failed");
        }
        let failing = match health.see(&check) {
            None => continue,
            Some(Change::Well) => {
                tracing::info!("the inference server passes its health check again");
                None
            }
            Some(Change::Unwell(reason)) => {
                tracing::warn!("{reason}");
                Some(reason)
            }
        };
        facts.send_modify(|facts| facts.failing = failing);
    }
}

/// Looks for the provider's word that it takes the instance back.
pub(crate) async fn notices(
    metadata: &Metadata,
    facts: &watch::Sender<Facts>,
    pace: Duration,
) -> Infallible {
    let mut reachable = true;
    let mut rebalance = None;
    loop {
        let notice = metadata.get("meta-data/spot/instance-action").await;
        match &notice {
            Ok(Some(document)) => {
                let reason = interruption(document);
                tracing::warn!("{reason}");
                facts.send_modify(|facts| facts.interrupted = Some(reason));
                return std::future::pending().await;
            }
            Err(error) if reachable => tracing::warn!(
                error = error as &dyn std::error::Error,
                "spot notices could not be read; trying again"
            ),
            Ok(None) | Err(_) => {}
        }
        reachable = notice.is_ok();
        if let Ok(Some(document)) = metadata.get("meta-data/events/recommendations/rebalance").await
            && rebalance.as_ref() != Some(&document)
        {
            tracing::warn!("the instance is at an elevated risk of interruption: {document}");
            rebalance = Some(document);
        }
        sleep(pace).await;
    }
}

/// Reads the lease for the dead-man switch.
pub(crate) async fn lease(
    store: &dyn StateStore,
    claim: &ClaimId,
    deadman: &DeadMan,
    every: Duration,
    patience: Duration,
) -> Infallible {
    let key = Lease::key_of(claim);
    let mut readable = true;
    loop {
        let began = deadman.now();
        let read = timeout(patience, store.get(&key)).await;
        let now_readable = matches!(read, Ok(Ok(_)));
        match read {
            Ok(Ok(Some(item))) => deadman.saw_lease(item.version, began),
            Ok(Err(error)) if readable => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the lease could not be read; without it the instance will end itself"
            ),
            Err(_) if readable => tracing::warn!(
                "the lease could not be read in time; without it the instance will end itself"
            ),
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
        readable = now_readable;
        sleep(every).await;
    }
}

/// Hears what the dead-man switch does.
pub(crate) async fn end(
    news: &mut UnboundedReceiver<News>,
    facts: &watch::Sender<Facts>,
) -> Infallible {
    while let Some(news) = news.recv().await {
        match news {
            News::Ends(cause) => {
                let reason = cause.to_string();
                tracing::warn!("the instance ends itself: {reason}");
                facts.send_modify(|facts| facts.ending = Some(reason));
            }
            News::Failed(failure) => {
                tracing::error!("the instance could not be ended; trying again: {failure}");
            }
        }
    }
    std::future::pending().await
}
