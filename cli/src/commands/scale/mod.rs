//! `up`, `down`, `pin`, `unpin`: orders about one model.

mod start;

use std::time::{Duration, Instant};

use diogenes_api::control::{ModelState, OrderKind, OrderRequest};
use diogenes_core::fleet::{ClaimId, Standing};
use serde_json::Value;

use start::{Look, Start};

use super::completions::models;
use super::options::Options;
use super::progress::Progress;
use super::{output, ps, time};
use crate::client::{Boot, Client, decode};
use crate::exit::{Failure, Kind};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Start a model now, as a request would, and wait until it is ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes up demo
  diogenes up Qwen/Qwen3-8B --no-wait
  diogenes up demo && ./benchmark.sh")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Drain and stop every replica of a model, and remove its pin.
///
/// The next request starts one again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes down demo
  diogenes down demo --no-wait")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Keep at least one replica of a model running, whatever the demand.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes pin demo
  diogenes pin demo && diogenes up demo   # and wait until it is ready")]
pub(crate) struct PinArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// Let demand decide again how many replicas a model has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes unpin demo
  diogenes unpin demo && diogenes down demo   # and stop it now")]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, clap::Args)]
struct OrderArgs {
    /// The model
    #[arg(add = models())]
    model: String,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct WaitArgs {
    /// Return at once instead of waiting
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn up(args: UpArgs) -> Result<(), Failure> {
    let (client, before, answer) = order(&args.order, OrderKind::Up).await?;
    if args.wait.no_wait {
        let text = match before.standing {
            Standing::Ready => "is ready",
            Standing::Asleep | Standing::Starting | Standing::Stopping | Standing::Failed => {
                "is starting; see `diogenes ps --watch`"
            }
        };
        return said(&args.order, &answer, &before, text);
    }
    let began = Instant::now();
    let mut progress = Progress::begin(&before.model);
    let mut wait = Start::new(&before);
    let mut state = before.clone();
    loop {
        match wait.look(&state) {
            Look::Wait(boot) => progress.tell(boot),
            Look::Waiting => {}
            Look::Ready => break,
            Look::Failed(why) => {
                drop(progress);
                return Err(Kind::ModelFailed.because(why));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        state = ps::state_of(&client, &before.model).await?;
    }
    drop(progress);
    let answer = serde_json::to_value(&state).unwrap_or(answer);
    let took = began.elapsed();
    if before.standing == Standing::Ready {
        return said(&args.order, &answer, &state, "is already ready");
    }
    let took = time::exact(took.as_secs_f64());
    said(&args.order, &answer, &state, &format!("is ready after {took}"))
}

pub(super) async fn down(args: DownArgs) -> Result<(), Failure> {
    let (client, before, answer) = order(&args.order, OrderKind::Down).await?;
    if before.slots.is_empty() {
        return said(&args.order, &answer, &before, "is already down");
    }
    if args.wait.no_wait {
        return said(&args.order, &answer, &before, "is stopping; see `diogenes ps --watch`");
    }
    let claims: Vec<ClaimId> = before.slots.iter().map(|slot| slot.claim.clone()).collect();
    let began = Instant::now();
    let mut progress = Progress::begin(&before.model);
    let mut state = before.clone();
    while let Some(slot) = state.slots.iter().find(|slot| claims.contains(&slot.claim)) {
        let phase = match (slot.state.as_str(), state.in_flight) {
            ("draining", 1) => "draining, 1 request in flight".to_owned(),
            ("draining", requests @ 2..) => format!("draining, {requests} requests in flight"),
            ("draining" | "terminating", _) => slot.state.clone(),
            // The order is not carried out yet.
            _ => "stopping".to_owned(),
        };
        let elapsed_s = began.elapsed().as_secs_f64();
        progress.tell(Boot { phase, elapsed_s, eta_s: None });
        tokio::time::sleep(LOOK_EVERY).await;
        state = ps::state_of(&client, &before.model).await?;
    }
    drop(progress);
    let answer = serde_json::to_value(&state).unwrap_or(answer);
    let took = time::exact(began.elapsed().as_secs_f64());
    said(&args.order, &answer, &state, &format!("is down after {took}"))
}

pub(super) async fn pin(args: PinArgs) -> Result<(), Failure> {
    let (_, state, answer) = order(&args.order, OrderKind::Pin).await?;
    said(&args.order, &answer, &state, "is pinned: at least one replica keeps running")
}

pub(super) async fn unpin(args: UnpinArgs) -> Result<(), Failure> {
    let (_, state, answer) = order(&args.order, OrderKind::Unpin).await?;
    said(&args.order, &answer, &state, "is no longer pinned")
}

async fn order(
    args: &OrderArgs,
    action: OrderKind,
) -> Result<(Client, ModelState, Value), Failure> {
    let client = args.options.client()?;
    let request = OrderRequest { model: args.model.clone(), action };
    let answer = client.post(&["api", "v1", "cluster", "scale"], &request).await?;
    let state = decode(answer.clone())?;
    Ok((client, state, answer))
}

fn said(args: &OrderArgs, answer: &Value, state: &ModelState, text: &str) -> Result<(), Failure> {
    output::result(args.options.output, answer, || Ok(format!("model `{}` {text}", state.model)))
}
