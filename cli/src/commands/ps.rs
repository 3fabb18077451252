use std::fmt::Write as _;
use std::time::Duration;

use diogenes_api::control::{ClusterState, ModelState};
use diogenes_core::Timestamp;
use diogenes_core::fleet::{SlotView, Standing};
use diogenes_core::name::nearest;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::completions::models;
use super::options::Options;
use super::output::{self, Format};
use super::screen::Screen;
use super::time::{exact, rough, since};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

const REDRAW: Duration = Duration::from_secs(1);

/// Show the status, replicas and load of each model.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes ps
  diogenes ps --watch
  diogenes ps Qwen/Qwen3-8B -o json
  diogenes ps | awk '$2 == \"failed\" {print $1}'")]
pub(crate) struct PsArgs {
    /// Show only this model
    #[arg(add = models())]
    model: Option<String>,
    /// Refresh every second until Ctrl-C; the formats json and yaml are printed once
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: PsArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    let only = args.model.as_deref();
    let fleet = fetch(&client, only).await?;
    if args.watch && format == Format::Table {
        return watch(&client, only, fleet).await;
    }
    let state: ClusterState = decode(fleet.clone())?;
    let now = Timestamp::now();
    output::result(format, &fleet, || match state.data.as_slice() {
        [] => Ok(String::new()),
        models => Ok(table(models, now)),
    })?;
    if format == Format::Table {
        if state.data.is_empty() {
            output::note("no models; add one with `diogenes model apply`");
        }
        for note in notes(&state.data, now) {
            output::note(&note);
        }
    }
    Ok(())
}

/// The state of one model, by the name that it is registered under.
pub(super) async fn state_of(client: &Client, model: &str) -> Result<ModelState, Failure> {
    let fleet: ClusterState = decode(fetch(client, Some(model)).await?)?;
    let state = fleet.data.into_iter().next();
    state.ok_or_else(|| Kind::NotFound.because(format!("model `{model}` no longer exists")))
}

async fn fetch(client: &Client, only: Option<&str>) -> Result<Value, Failure> {
    let mut fleet = client.get(&["api", "v1", "cluster"], &[]).await?;
    let Some(only) = only else { return Ok(fleet) };
    if let Some(Value::Array(models)) = fleet.get_mut("data") {
        let name = |model: &Value| model.get("model").and_then(Value::as_str).map(str::to_owned);
        let names: Vec<String> = models.iter().filter_map(name).collect();
        let has_alias = |model: &Value| {
            let aliases = model.get("aliases").and_then(Value::as_array);
            aliases.is_some_and(|aliases| aliases.iter().any(|alias| alias == only))
        };
        models.retain(|model| name(model).as_deref() == Some(only) || has_alias(model));
        if models.is_empty() {
            let near = nearest(only, names.iter().map(String::as_str))
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Kind::NotFound.because(format!(
                "model `{only}` is not registered{near}; `diogenes model list` shows those that are"
            )));
        }
    }
    Ok(fleet)
}

async fn watch(client: &Client, only: Option<&str>, first: Value) -> Result<(), Failure> {
    // One listener for all frames: none of its own would miss a Ctrl-C at the turn of two.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut screen = Screen::default();
    let mut fleet = Ok(first);
    loop {
        let frame = match fleet.and_then(decode::<ClusterState>) {
            Ok(fleet) => frame(&fleet.data, Timestamp::now()),
            // The server may come back.
            Err(failure) if failure.kind == Kind::Unavailable => format!("{:#}", failure.error),
            Err(failure) => return Err(failure),
        };
        screen.draw(&frame)?;
        tokio::select! {
            () = tokio::time::sleep(REDRAW) => {}
            _ = interrupt.recv() => return output::piece("\n"),
        }
        fleet = tokio::select! {
            fleet = fetch(client, only) => fleet,
            _ = interrupt.recv() => return output::piece("\n"),
        };
    }
}

fn frame(models: &[ModelState], now: Timestamp) -> String {
    let mut frame = table(models, now);
    for note in notes(models, now) {
        let _ = write!(frame, "\n{note}");
    }
    frame
}

const HEADER: [&str; 11] = [
    "MODEL",
    "STATUS",
    "PINNED",
    "SLOT",
    "STATE",
    "PHASE",
    "ETA",
    "IN-FLIGHT",
    "HELD",
    "AGE",
    "IDLE",
];

/// One row per replica. What belongs to the model stands in its first row.
fn table(models: &[ModelState], now: Timestamp) -> String {
    output::table(&HEADER, models.iter().flat_map(|model| rows(model, now)))
}

fn rows(model: &ModelState, now: Timestamp) -> Vec<Vec<String>> {
    let slots = match model.slots.as_slice() {
        [] => vec![None],
        slots => slots.iter().map(Some).collect(),
    };
    let none = || "-".to_owned();
    slots
        .into_iter()
        .enumerate()
        .map(|(row, slot)| {
            let of_model = |text: String| if row == 0 { text } else { none() };
            let of_slot = |text: &dyn Fn(&SlotView) -> String| slot.map_or_else(none, text);
            vec![
                model.model.clone(),
                standing(model.standing).into(),
                of_model(if model.pinned { "yes".into() } else { none() }),
                of_slot(&|slot| slot.index.to_string()),
                of_slot(&|slot| slot.state.clone()),
                of_slot(&|slot| slot.phase.map_or_else(none, |phase| phase.to_string())),
                of_slot(&|slot| eta(model, slot).unwrap_or_else(none)),
                of_model(model.in_flight.to_string()),
                of_model(model.held.to_string()),
                of_slot(&|slot| rough(since(slot.claimed_at, now))),
                of_model(idle(model, now).unwrap_or_else(none)),
            ]
        })
        .collect()
}

/// The ETA is that of the foremost boot.
fn eta(model: &ModelState, slot: &SlotView) -> Option<String> {
    let progress = model.progress.as_ref()?;
    let is_foremost = slot.phase?.as_str() == progress.phase;
    is_foremost.then(|| progress.eta_s.map(|eta| exact(eta).replace(' ', "")))?
}

fn idle(model: &ModelState, now: Timestamp) -> Option<String> {
    let is_idle = model.in_flight == 0 && model.held == 0;
    // An older server tells only when the last request came.
    let last = model.last_used_at.or(model.last_request_at).filter(|_| is_idle)?;
    Some(rough(since(last, now)))
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Asleep => "asleep",
        Standing::Starting => "starting",
        Standing::Ready => "ready",
        Standing::Stopping => "stopping",
        Standing::Failed => "failed",
    }
}

/// Why models failed.
fn notes(models: &[ModelState], now: Timestamp) -> Vec<String> {
    let failed = models.iter().filter_map(|model| Some((model, model.failure.as_ref()?)));
    failed
        .map(|(model, failure)| {
            let name = &model.model;
            let see = failure.kind.see_log(name).map(|see| format!(", {see}")).unwrap_or_default();
            let next = rough(since(now, failure.until));
            format!("{name} failed: {}; it can be started again in {next}{see}", failure.reason)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Vec<ModelState> {
        let slot = |index, state: &str, more: Value| {
            let mut slot = serde_json::json!({
                "index": index, "claim": "c0ffee", "state": state, "claimed_at": "2026-01-01T00:00:00Z",
            });
            if let (Value::Object(slot), Value::Object(more)) = (&mut slot, more) {
                slot.extend(more);
            }
            slot
        };
        let idle = serde_json::json!({
            "model": "asleep", "standing": "asleep", "pinned": false, "held": 0, "in_flight": 0,
            "last_request_at": null, "progress": null, "failure": null, "slots": [],
        });
        let model = |changes: Value| {
            let mut model = idle.clone();
            if let (Value::Object(model), Value::Object(changes)) = (&mut model, changes) {
                model.extend(changes);
            }
            serde_json::from_value(model).expect("a model's state")
        };
        vec![
            model(serde_json::json!({})),
            model(serde_json::json!({
                "model": "Qwen/Qwen3-8B", "standing": "starting", "held": 3,
                "last_request_at": "2026-01-01T00:00:00Z",
                "progress": {"phase": "weights", "elapsed_s": 42.0, "eta_s": 94.6},
                "slots": [slot(0, "booting", serde_json::json!({"phase": "weights"})),
                          slot(1, "launching", serde_json::json!({"phase": "launch"}))],
            })),
            model(serde_json::json!({
                "model": "ready", "standing": "ready", "pinned": true,
                "last_request_at": "2026-01-01T00:02:39Z", "last_used_at": "2026-01-01T00:04:30Z",
                "slots": [slot(0, "ready", serde_json::json!({"ready_at": "2026-01-01T00:01:00Z"}))],
            })),
            model(serde_json::json!({
                "model": "broken", "standing": "failed",
                "failure": {"kind": "exited", "reason": "it exited with code 1 while it booted",
                            "at": "2026-01-01T00:04:55Z", "until": "2026-01-01T00:05:15Z",
                            "attempts": 2, "spec": "0123456789abcdef"},
            })),
        ]
    }

    #[test]
    fn the_fleet_is_shown_one_replica_a_line() {
        let now = "2026-01-01T00:05:00Z".parse().expect("a time");
        insta::assert_snapshot!(frame(&models(), now));
    }
}
