use std::time::Duration;

use diogenes_backends::system::SystemClock;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{Beat, BeatStatus, ModelView, Slot};
use diogenes_core::ports::Clock;

use super::super::report::Report;
use crate::aws::{DeployedTable, Problem};

const NAME: &str = "agents";
/// Agents report every few seconds; one that was silent for so long is in trouble.
const SILENCE: Duration = Duration::from_mins(2);
/// From the launch to the agent's first report: the boot of an instance, with a wide margin.
const FIRST_REPORT: Duration = Duration::from_mins(5);

/// Tells what the models' last failures were, and when the agents of running instances have last
/// reported.
pub(super) async fn check(table: &DeployedTable, views: &[ModelView], report: &mut Report) {
    let now = SystemClock.now();
    let (mut slots, mut newest) = (0, None::<String>);
    let mut newest_at = None;
    for view in views {
        let name = &view.model.name;
        if let Some(failure) = view.failure(now) {
            report.fail(
                "fleet",
                format!("`{name}` could not be started: {}", failure.reason),
                format!("see `diogenes logs {name}`, then `diogenes up {name}`"),
            );
        }
        for slot in &view.slots {
            slots += 1;
            let beat = table.store.load::<Beat>(&Beat::key_of(&slot.claim)).await;
            let beat = match beat {
                Ok(beat) => beat.map(|stored| stored.value),
                Err(error) => {
                    report.problem(NAME, Problem::from(error));
                    return;
                }
            };
            let place = format!("`{name}` slot {}", slot.index);
            judge(&place, slot, beat.as_ref(), now, report);
            if let Some(beat) = beat.filter(|beat| newest_at.is_none_or(|at| beat.at > at)) {
                newest_at = Some(beat.at);
                newest = Some(format!(
                    "the newest report is {} old, from {place}: {}",
                    age(beat.at, now),
                    state(&beat)
                ));
            }
        }
    }
    match (slots, newest) {
        (0, _) => report.ok(NAME, "no instances are running"),
        (_, Some(newest)) => report.ok(NAME, newest),
        // The lines above say it where it has been too long.
        (_, None) => report.ok(NAME, "no instance has reported yet"),
    }
}

fn judge(place: &str, slot: &Slot, beat: Option<&Beat>, now: Timestamp, report: &mut Report) {
    let instance = slot.instance().map_or_else(|| "no instance yet".into(), ToString::to_string);
    match beat {
        Some(beat) => {
            if let BeatStatus::Unhealthy { reason } | BeatStatus::Interrupted { reason } = &beat.status {
                report.warn(
                    NAME,
                    format!("{place} ({instance}): {reason}"),
                    "the orchestrator replaces it; see its log with `diogenes logs`",
                );
            } else if since(beat.at, now) > SILENCE {
                report.warn(
                    NAME,
                    format!("{place} ({instance}) last reported {} ago", age(beat.at, now)),
                    "unless it ends by itself, check that the instance exists and can reach DynamoDB",
                );
            }
        }
        None if slot.is_live() && since(slot.claimed_at, now) > FIRST_REPORT => report.warn(
            NAME,
            format!("{place} ({instance}) has not reported in the {} since it was claimed", age(slot.claimed_at, now)),
            "check that the image has the agent (ami/README.md); `aws ec2 get-console-output` shows how the instance booted",
        ),
        None => {}
    }
}

fn state(beat: &Beat) -> String {
    match &beat.status {
        BeatStatus::Booting { phase } => format!("booting, in phase `{phase}`"),
        BeatStatus::Ready { .. } => "ready".into(),
        BeatStatus::Unhealthy { reason } | BeatStatus::Interrupted { reason } => reason.clone(),
    }
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(at).try_into().unwrap_or_default()
}

/// A duration in whole seconds or minutes, as people say it.
fn age(at: Timestamp, now: Timestamp) -> String {
    match since(at, now).as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
