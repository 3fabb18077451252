use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::{Phase, Progress};
use diogenes_core::money::Dollars;
use http::StatusCode;
use tokio::time::Instant;

use super::plain;
use super::stream::Passing;
use crate::error::ApiError;
use crate::proxy::call::until;
use crate::proxy::headers::{is_encoded, is_event_stream};
use crate::proxy::pursuit::{Move, Pursuit, Reached};
use crate::proxy::refusal;
use crate::proxy::settlement::Settlement;
use crate::proxy::usage::Used;

/// A stream whose caller waits for a replica: its head has left, and comments tell how far the
/// boot is.
pub(super) struct HeldStream {
    pursuit: Pursuit,
    /// None once it is settled.
    settlement: Option<Settlement>,
    /// When an event that says nothing was last sent.
    last_event: Option<Instant>,
}

/// What a held stream has for its caller.
pub(super) enum Told {
    /// Bytes, and more will follow.
    Bytes(Bytes),
    /// The last bytes.
    Last(Bytes),
    /// The replica's stream.
    Opened(Box<Passing>),
}

impl HeldStream {
    pub(super) fn new(pursuit: Pursuit, settlement: Settlement) -> Self {
        Self { pursuit, settlement: Some(settlement), last_event: None }
    }

    pub(super) async fn next(&mut self) -> Told {
        loop {
            let deadline = self.pursuit.call.deadline;
            let Some(settlement) = &mut self.settlement else {
                return Told::Last(Bytes::new());
            };
            let Ok(told) = until(deadline, self.pursuit.next(settlement)).await else {
                return self.fail(&refusal::out_of_time(&self.pursuit.at));
            };
            match told {
                Move::Waits => {}
                Move::Progress(progress) => return Told::Bytes(self.report(&progress)),
                Move::Refused(error) => return self.fail(&error),
                Move::Reached(reached) => return self.answer(*reached).await,
            }
        }
    }

    fn report(&mut self, progress: &Progress) -> Bytes {
        let waited = self.pursuit.waited().unwrap_or_default();
        let eta = progress.eta.map(|eta| eta.as_secs());
        let phase = match progress.phase {
            // The replica is, and the request waits for its turn there.
            Phase::Ready => "queued",
            phase => phase.as_str(),
        };
        let report = serde_json::json!({
            "phase": phase,
            "elapsed_s": waited.as_secs(),
            "eta_s": eta,
        });
        let mut text = comment(&report);
        if let Some(event) = self.empty_event(waited) {
            text.push_str(&event);
        }
        text.into()
    }

    /// An event that says nothing, now and then, once the wait is long: some clients give up when
    /// no event comes, whatever comments say.
    fn empty_event(&mut self, waited: Duration) -> Option<String> {
        let Pursuit { call, at, .. } = &self.pursuit;
        let entry = at.entry()?;
        let view = entry.view();
        let every = view.model.spec.hold_event_interval;
        let is_due = match self.last_event {
            Some(last) => last.elapsed() >= every,
            None => waited >= every * 2,
        };
        if every.is_zero() || !is_due {
            return None;
        }
        self.last_event = Some(Instant::now());
        let id = call.id.to_str().unwrap_or_default();
        call.dialect.empty_event(id, view.model.name.as_str(), entry.now().as_second())
    }

    async fn answer(&mut self, reached: Reached) -> Told {
        if let Some(settlement) = &mut self.settlement {
            settlement.answered_by(&self.pursuit.at);
        }
        let Pursuit { call, at, .. } = &self.pursuit;
        let waited = reached.waited.unwrap_or_default();
        at.metrics().woke_after(waited);
        at.metrics().first_byte(call.arrived.elapsed());
        let response = &reached.response;
        if response.status != StatusCode::OK || !is_event_stream(&response.headers) {
            return self.refuse(reached).await;
        }
        if is_encoded(&response.headers) {
            return self.fail(&refusal::malformed(refusal::COMPRESSED, at));
        }
        let overhead = reached.sent_at.duration_since(call.arrived).saturating_sub(waited);
        let mut report = serde_json::json!({
            "phase": "ready",
            "model": at.name(),
            "target": reached.by.label().to_str().unwrap_or_default(),
            "cold_start_ms": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            "overhead_ms": overhead.as_micros() as f64 / 1000.0,
        });
        if let (Some(routed), Some(fields)) = (&reached.routed, report.as_object_mut()) {
            fields.insert("route".into(), routed.as_str().into());
        }
        let most = self.settlement.as_ref().and_then(Settlement::most);
        if let (Some(most), Some(fields)) = (most, report.as_object_mut()) {
            fields.insert("reserved_usd".into(), Dollars(most).decimal().into());
        }
        let Some(settlement) = self.settlement.take() else {
            return Told::Last(Bytes::new());
        };
        let now = self.pursuit.gateway().clock.now();
        at.metrics().speed.note(reached.sent_at.elapsed(), now);
        let passing = Passing::new(reached, call, settlement, self.pursuit.gateway());
        Told::Opened(Box::new(passing.after(comment(&report).into())))
    }

    /// The replica's own error, for a stream whose head has left with a 200.
    async fn refuse(&mut self, reached: Reached) -> Told {
        let Reached { response, by: _by, interpreter, .. } = reached;
        let (call, at) = (&self.pursuit.call, &self.pursuit.at);
        let status = response.status;
        if status.is_success() {
            return self.fail(&refusal::no_stream(at));
        }
        let event = plain::error_event(response, interpreter, call, at);
        let event =
            tokio::time::timeout(at.timeout(call.patience.stream), until(call.deadline, event))
                .await;
        match event {
            Ok(Ok(Ok(event))) => {
                if let Some(settlement) = self.settlement.take() {
                    settlement.settle(status, Used::NOTHING);
                }
                Told::Last(event)
            }
            Ok(Ok(Err(error))) => self.end(&error, Some(Used::NOTHING)),
            Ok(Err(_)) => self.end(&refusal::out_of_time(at), Some(Used::NOTHING)),
            Err(_) => self.end(&refusal::refused(status, at), Some(Used::NOTHING)),
        }
    }

    fn fail(&mut self, error: &ApiError) -> Told {
        self.end(error, None)
    }

    fn end(&mut self, error: &ApiError, used: Option<Used>) -> Told {
        if let Some(settlement) = self.settlement.take() {
            settlement.fail(error, used);
        }
        let call = &self.pursuit.call;
        let id = call.id.to_str().unwrap_or_default();
        Told::Last(call.dialect.error_event(error, id).into())
    }
}

/// A comment of an SSE stream, which clients ignore.
fn comment(report: &serde_json::Value) -> String {
    format!(": diogenes {report}\n\n")
}
