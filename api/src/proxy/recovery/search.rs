//! From a cut to the replica that goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use diogenes_core::fleet::{ClaimId, ModelView, Slot, SlotState};
use diogenes_core::gateway::MAX_CASUALTIES;
use diogenes_core::gateway::continuation::{Asked, Cut, Kind, Splice};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Reason, Way};
use crate::proxy::destination::Answerer;
use crate::proxy::dialect::Dialect;
use crate::proxy::entry::Lease;
use crate::proxy::headers::{is_encoded, is_event_stream};
use crate::proxy::target::Target;
use crate::proxy::upstream::{RequestHead, ResponseBody, SendError, UpstreamResponse};

/// How long a stream that was cut waits for another replica.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to put tokens into words.
const DETOKENIZE: Duration = Duration::from_secs(10);
/// The tokens that one character can have at most: a byte each.
const LONGEST_CHARACTER: usize = 4;
/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 64 << 20;
/// The replicas that are asked at most for one continuation.
const MAX_ASKED: usize = 3;

/// The search for a replica, under way.
pub(super) type Search = Pin<Box<dyn Future<Output = Found> + Send>>;

/// Where a search has got to.
pub(super) struct Found {
    pub(super) splice: Splice,
    /// The replicas that are not asked again.
    pub(super) lost: Vec<ClaimId>,
    pub(super) next: Result<Next, Reason>,
}

/// A replica that has begun to answer.
pub(super) struct Next {
    pub(super) body: ResponseBody,
    pub(super) target: Arc<Target>,
    pub(super) by: Answerer,
    /// At which endpoint it was asked.
    pub(super) kind: Kind,
}

/// Why one replica has not.
enum Not {
    /// Another one may.
    Here,
    /// By its text this answer cannot be continued; by its tokens it may.
    ByText,
    /// Nobody will.
    Anywhere(Reason),
}

/// Looks for a replica that continues what has come, by its text or by its tokens, and waits as
/// long for one.
pub(super) fn search(
    way: Arc<Way>,
    mut splice: Splice,
    mut lost: Vec<ClaimId>,
    cut: Option<Arc<Target>>,
    by: Kind,
    patience: Duration,
) -> Search {
    Box::pin(async move {
        if let Some(target) = cut {
            way.mourn(&target).await;
            lost.push(target.claim.clone());
        }
        let next = way.next(&mut splice, &mut lost, by, patience).await;
        Found { splice, lost, next }
    })
}

impl Way {
    /// Finds out whether a replica whose connection was lost is dead, for the next requests as
    /// well: only then it counts among those that the request may have ended.
    async fn mourn(&self, target: &Arc<Target>) {
        if !self.entry.is_alive(target).await {
            self.entry.take_out(target);
        }
    }

    async fn next(
        &self,
        splice: &mut Splice,
        lost: &mut Vec<ClaimId>,
        mut by: Kind,
        patience: Duration,
    ) -> Result<Next, Reason> {
        let ends = Instant::now() + patience;
        for _ in 0..MAX_ASKED {
            if self.suspect.count(&self.entry) >= MAX_CASUALTIES {
                return Err(Reason::BringsReplicasDown);
            }
            let mut lease = self.replica(lost, ends).await?;
            let target = lease.target.clone();
            loop {
                match self.ask(splice, lease, by).await {
                    Ok(next) => return Ok(next),
                    Err((back, Not::ByText)) if by == Kind::Chat => {
                        (lease, by) = (back, Kind::Text);
                    }
                    Err((_, Not::ByText)) => return Err(Reason::Refused),
                    Err((_, Not::Anywhere(reason))) => return Err(reason),
                    Err((_, Not::Here)) => break,
                }
            }
            lost.push(target.claim.clone());
        }
        Err(Reason::NoReplica)
    }

    /// A place on another replica that runs the same; waits for one where there is none.
    async fn replica(&self, lost: &[ClaimId], ends: Instant) -> Result<Lease, Reason> {
        let (entry, views) = (&self.entry, &self.gateway.views);
        let mut changes = entry.changes();
        let mut place = None;
        loop {
            changes.mark_unchanged();
            let view = entry.view();
            let suits = |target: &Target| {
                !lost.contains(&target.claim) && self.runs_the_same(&view, &target.claim)
            };
            if let Some(lease) = entry.start_where(&mut place, None, true, suits) {
                return Ok(lease);
            }
            let now = self.gateway.clock.now();
            if Instant::now() >= ends
                || views.dispatcher.is_closing()
                || view.model.deleted_at.is_some()
                || view.failure(now).is_some()
                || self.is_down(&view)
            {
                return Err(Reason::NoReplica);
            }
            if place.is_none() {
                // It has waited for a replica before, and is not sent to the end of the queue. To
                // wait for another is not to arrive: a `down` stands.
                place = views.link.enter_again(entry).await;
                views.link.look(entry, self.since).await;
            }
            tokio::select! {
                // An error means that the entry is gone, and with it the hope.
                known = changes.changed() => known.map_err(|_| Reason::NoReplica)?,
                () = tokio::time::sleep_until(ends) => {}
                () = tokio::time::sleep(views.link.pause(&view.progress(now))) => {
                    views.link.look(entry, self.since).await;
                }
            }
        }
    }

    /// Whether an operator has taken the model down meanwhile, and no replica is to come.
    fn is_down(&self, view: &ModelView) -> bool {
        let stays = |slot: &Slot| {
            !matches!(slot.state, SlotState::Draining { .. } | SlotState::Terminating { .. })
        };
        view.control.down_at.is_some_and(|at| at >= self.since) && !view.slots.iter().any(stays)
    }

    /// Asks one replica to go on. Who has not begun to gives its place back.
    async fn ask(&self, splice: &mut Splice, lease: Lease, by: Kind) -> Result<Next, (Lease, Not)> {
        match self.answer(splice, &lease, by).await {
            Ok((body, kind)) => {
                let in_use = self.gateway.views.link.in_use(&self.entry, &lease.target.claim);
                let target = lease.target.clone();
                let by = Answerer::Replica { lease, _in_use: in_use };
                Ok(Next { body, target, by, kind })
            }
            Err(not) => Err((lease, not)),
        }
    }

    async fn answer(
        &self,
        splice: &mut Splice,
        lease: &Lease,
        by: Kind,
    ) -> Result<(ResponseBody, Kind), Not> {
        let target = &lease.target;
        let asked = match splice.cut() {
            Cut::Anew => splice.anew(),
            Cut::Behind => self.behind(splice, target, by).await?,
            Cut::Lost(lost) => return Err(Not::Anywhere(Reason::Lost(lost))),
            // There is nothing to ask for.
            Cut::Complete => return Err(Not::Anywhere(Reason::Inexact)),
        };
        let path = match asked.kind {
            Kind::Chat => Dialect::ChatCompletions.target_path(),
            Kind::Text => Dialect::Completions.target_path(),
        };
        let answer = self.send(target, path, asked.body.into(), self.timeout).await?;
        let (status, headers) = (answer.status, &answer.headers);
        match status {
            StatusCode::OK if is_event_stream(headers) && !is_encoded(headers) => {
                Ok((answer.body, asked.kind))
            }
            StatusCode::OK => Err(Not::Anywhere(Reason::Refused)),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Not::Here)
            }
            // As a template does that cannot leave a message open.
            _ => Err(Not::ByText),
        }
    }

    /// What to ask for behind the tokens that have come, of which as many are kept as make whole
    /// characters.
    async fn behind(
        &self,
        splice: &mut Splice,
        target: &Arc<Target>,
        by: Kind,
    ) -> Result<Asked, Not> {
        let window = match by {
            Kind::Text if splice.needs_window() => self.window(target).await?,
            _ => None,
        };
        let all = splice.tokens().len();
        if all == 0 {
            return Err(Not::Anywhere(Reason::Inexact));
        }
        for kept in (0..=all).rev().take(LONGEST_CHARACTER + 1) {
            if kept == 0 {
                // Nothing whole has come.
                return Ok(splice.anew());
            }
            let tokens = splice.tokens().get(..kept).unwrap_or_default();
            let text = self.detokenize(target, tokens).await?;
            match splice.behind(&text, kept, by, window) {
                Ok(Some(asked)) => return Ok(asked),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        Err(Not::Anywhere(Reason::Inexact))
    }

    /// How many tokens a prompt and its answer may have, if the engine tells.
    async fn window(&self, target: &Arc<Target>) -> Result<Option<u64>, Not> {
        #[derive(Deserialize)]
        struct Window {
            max_model_len: Option<u64>,
        }
        match self.told(target, Dialect::Tokenize, "prompt", "").await {
            Ok(Window { max_model_len }) => Ok(max_model_len),
            Err(Not::Anywhere(_)) => Ok(None),
            Err(not) => Err(not),
        }
    }

    async fn detokenize(&self, target: &Arc<Target>, tokens: &[u32]) -> Result<String, Not> {
        #[derive(Deserialize)]
        struct Text {
            prompt: String,
        }
        let told = self.told(target, Dialect::Detokenize, "tokens", tokens).await;
        told.map(|Text { prompt }| prompt)
    }

    /// What a replica says of this field of a request.
    async fn told<T: DeserializeOwned>(
        &self,
        target: &Arc<Target>,
        dialect: Dialect,
        field: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<T, Not> {
        let view = self.entry.view();
        let body = serde_json::json!({ "model": view.model.upstream_name(), field: value });
        let path = dialect.target_path();
        let answer = self.send(target, path, body.to_string().into(), DETOKENIZE).await?;
        match answer.status {
            StatusCode::OK => {}
            status if status.is_server_error() => return Err(Not::Here),
            _ => return Err(Not::Anywhere(Reason::Refused)),
        }
        let whole = tokio::time::timeout(DETOKENIZE, whole(answer.body)).await;
        let bytes = whole.ok().flatten().ok_or(Not::Here)?;
        serde_json::from_slice(&bytes).map_err(|_| Not::Anywhere(Reason::Refused))
    }

    async fn send(
        &self,
        target: &Arc<Target>,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<UpstreamResponse, Not> {
        let head = RequestHead {
            method: &Method::POST,
            path,
            headers: &self.headers,
            bearer: &target.upstream_key,
        };
        match target.upstream.send(&head, &body, timeout).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                match error {
                    SendError::Connect(_) => self.entry.take_out(target),
                    SendError::Closed(_) => {
                        self.suspect.note(Some(&target.claim));
                        self.mourn(target).await;
                    }
                    SendError::Malformed | SendError::TimedOut => {}
                }
                Err(Not::Here)
            }
        }
    }
}

/// All of a short body, if it is whole.
async fn whole(mut body: ResponseBody) -> Option<Bytes> {
    let mut all = BytesMut::new();
    while let Some(bytes) = body.next().await.ok()? {
        all.extend_from_slice(&bytes);
        if all.len() > MAX_TEXT {
            return None;
        }
    }
    Some(all.freeze())
}
