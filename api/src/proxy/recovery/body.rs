use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::ClaimId;
use diogenes_core::gateway::continuation::{Cut, Inexact, Kind, Splice, Took};
use tokio::time::Instant;

use super::fate::{Fate, Watch};
use super::search::{Next, PATIENCE, Search, search};
use super::{HANDED_OVER, RECOVERED, Reason, Recovery, Way};
use crate::proxy::destination::Answerer;
use crate::proxy::target::Target;
use crate::proxy::upstream::{BodyError, ResponseBody};
use crate::proxy::usage::Usage;
use crate::sse::Reader;

/// How often one stream is continued behind a cut.
const MOST: usize = 3;
/// How often one stream tries to leave a replica that will end.
const MOST_DEPARTURES: usize = 5;
/// How long another replica has to go on with a stream that leaves one. Until then the caller hears
/// nothing of the first, which answers.
const TRIAL: Duration = Duration::from_secs(10);
/// When a caller is told first that its stream waits for another replica, and how often then.
const FIRST_REPORT: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The body of a stream.
pub(in crate::proxy) enum StreamBody {
    /// As it comes.
    Plain(ResponseBody),
    /// Continued where it is cut.
    Recoverable(Box<Recoverable>),
}

/// A stream that may be made of those of several replicas.
pub(in crate::proxy) struct Recoverable {
    way: Arc<Way>,
    body: ResponseBody,
    reader: Reader,
    /// None while a search has it.
    splice: Option<Splice>,
    /// Whose events come.
    target: Arc<Target>,
    /// The same for who is yet to prove that it goes on.
    by: Option<Answerer>,
    /// Who does.
    moved: Option<Moved>,
    /// At which endpoint it was asked.
    kind: Kind,
    lost: Vec<ClaimId>,
    cuts: usize,
    /// What becomes of the replica.
    fate: Watch,
    /// Whether it had better be left.
    is_leaving: bool,
    departures: usize,
    /// What is left behind, until the next replica has proved to go on.
    left: Option<Left>,
    /// What is wrong behind what was passed on.
    trouble: Option<Trouble>,
    search: Option<Waiting>,
    used: Option<Usage>,
    /// How it was broken last.
    broken: BodyError,
    is_over: bool,
}

/// Another replica goes on with a stream.
pub(in crate::proxy) struct Moved {
    pub(in crate::proxy) by: Answerer,
    /// How the stream of the one before was cut; none if it was left before it ended.
    pub(in crate::proxy) cut: Option<BodyError>,
}

/// What a stream goes back to if no other replica goes on.
struct Left {
    /// When the other one has had its time.
    ends: Instant,
    splice: Splice,
    /// The replicas that were not to be asked.
    lost: Vec<ClaimId>,
    /// None while no other one has begun.
    leg: Option<OldLeg>,
}

/// A replica that has been left and waits.
struct OldLeg {
    body: ResponseBody,
    reader: Reader,
    target: Arc<Target>,
    kind: Kind,
}

struct Waiting {
    work: Search,
    since: Instant,
    report: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cut(BodyError),
    Inexact(Inexact),
}

impl StreamBody {
    pub(in crate::proxy) fn new(body: ResponseBody, recovery: Option<Box<Recovery>>) -> Self {
        let Some(recovery) = recovery else { return Self::Plain(body) };
        let Recovery { splice, target, way, .. } = *recovery;
        Self::Recoverable(Box::new(Recoverable {
            fate: way.clone().watch(target.claim.clone(), true),
            is_leaving: false,
            departures: 0,
            left: None,
            way,
            body,
            reader: Reader::default(),
            splice: Some(splice),
            target,
            by: None,
            moved: None,
            kind: Kind::Chat,
            lost: Vec::new(),
            cuts: 0,
            trouble: None,
            search: None,
            used: None,
            broken: BodyError::Cut,
            is_over: false,
        }))
    }

    /// What has arrived, waiting for the first; `None` at the end.
    pub(in crate::proxy) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        match self {
            Self::Plain(body) => body.next().await,
            // Few streams come here, and all would carry its state.
            Self::Recoverable(stream) => Box::pin(stream.next()).await,
        }
    }

    /// See [`ResponseBody::finish`].
    pub(in crate::proxy) async fn finish(&mut self) {
        match self {
            Self::Plain(body) => body.finish().await,
            Self::Recoverable(stream) => stream.body.finish().await,
        }
    }

    /// Who answers from here on, if that is another one now.
    pub(in crate::proxy) fn moved(&mut self) -> Option<Moved> {
        match self {
            Self::Plain(_) => None,
            Self::Recoverable(stream) => stream.moved.take(),
        }
    }

    /// What was used over all replicas, as far as that is known.
    pub(in crate::proxy) fn used(&self) -> Option<Usage> {
        match self {
            Self::Plain(_) => None,
            Self::Recoverable(stream) => stream.used,
        }
    }
}

impl Recoverable {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if self.is_over {
                return Ok(None);
            }
            let trial_ends = self.left.as_ref().map(|left| left.ends);
            if let Some(waiting) = &mut self.search {
                let found = tokio::select! {
                    found = &mut waiting.work => found,
                    () = reached(trial_ends) => {
                        self.search = None;
                        self.go_back(Reason::Stalled);
                        continue;
                    }
                    () = tokio::time::sleep_until(waiting.report) => {
                        waiting.report = Instant::now() + REPORT_EVERY;
                        let elapsed = waiting.since.elapsed().as_secs();
                        let report = serde_json::json!({"phase": "recovering", "elapsed_s": elapsed});
                        return Ok(Some(format!(": diogenes {report}\n\n").into()));
                    }
                };
                self.search = None;
                self.lost = found.lost;
                self.splice = Some(found.splice);
                match found.next {
                    Ok(next) => self.go_on(next),
                    Err(reason) if self.left.is_some() => self.go_back(reason),
                    Err(reason) => return self.give_up(reason),
                }
            }
            if self.trouble.is_none() && self.is_leaving && self.leave() {
                continue;
            }
            let bytes = match self.trouble.take() {
                Some(trouble) => self.help(trouble)?,
                None => match self.receive().await {
                    Ok(Some(bytes)) => self.read(&bytes),
                    Ok(None) => self.help(Trouble::Cut(BodyError::Cut))?,
                    Err(broken) => self.help(Trouble::Cut(broken))?,
                },
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// What comes next of the replica, as long as the fleet believes in it.
    async fn receive(&mut self) -> Result<Option<Bytes>, BodyError> {
        let trial_ends = self.left.as_ref().map(|left| left.ends);
        tokio::select! {
            biased;
            next = self.body.next() => next,
            () = reached(trial_ends) => {
                self.go_back(Reason::Stalled);
                Ok(Some(Bytes::new()))
            }
            fate = &mut self.fate => match fate {
                Fate::GivenUp => Err(BodyError::Stalled),
                Fate::Leaving => {
                    self.is_leaving = true;
                    self.watch(false);
                    Ok(Some(Bytes::new()))
                }
            },
        }
    }

    /// Watches what becomes of the replica that answers.
    fn watch(&mut self, may_leave: bool) {
        self.fate = self.way.clone().watch(self.target.claim.clone(), may_leave);
    }

    /// Looks for another replica while this one still answers, if what has come can be continued
    /// now.
    fn leave(&mut self) -> bool {
        let is_settled = self.by.is_none() && self.left.is_none();
        let Some(splice) = self.splice.take_if(|splice| is_settled && splice.cut() == Cut::Behind)
        else {
            return false;
        };
        self.is_leaving = false;
        self.departures += 1;
        let mut lost = std::mem::take(&mut self.lost);
        lost.push(self.target.claim.clone());
        let ends = Instant::now() + TRIAL;
        self.left = Some(Left { ends, splice: splice.clone(), lost: lost.clone(), leg: None });
        self.search(splice, lost, None, Kind::Chat, Duration::ZERO);
        true
    }

    /// Goes on where the stream has been, as no other replica does.
    fn go_back(&mut self, reason: Reason) {
        let Some(left) = self.left.take() else { return };
        if let Some(leg) = left.leg {
            (self.body, self.reader) = (leg.body, leg.reader);
            (self.target, self.kind) = (leg.target, leg.kind);
        }
        self.splice = Some(left.splice);
        if self.lost.is_empty() {
            // The search was given up, and has them.
            self.lost = left.lost;
        }
        self.by = None;
        self.note_usage();
        let may_help = matches!(reason, Reason::NoReplica);
        self.watch(may_help && self.departures < MOST_DEPARTURES);
        let name = &self.way.entry.view().model.name;
        let (id, reason) = (self.way.request_id.to_str().unwrap_or_default(), reason.as_str());
        tracing::info!(
            model = %name, claim = %self.target.claim, reason, request.id = id,
            "a stream of `{name}` stays at its replica, which is going to end"
        );
    }

    fn search(
        &mut self,
        splice: Splice,
        lost: Vec<ClaimId>,
        cut: Option<Arc<Target>>,
        by: Kind,
        patience: Duration,
    ) {
        let since = Instant::now();
        let work = search(self.way.clone(), splice, lost, cut, by, patience);
        self.search = Some(Waiting { work, since, report: since + FIRST_REPORT });
    }

    /// What the caller gets of these bytes. What is wrong behind it waits.
    fn read(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len());
        let Some(splice) = &mut self.splice else { return Bytes::new() };
        self.reader.push(bytes);
        while let Some(frame) = self.reader.next_frame() {
            let Some(data) = frame.data() else {
                out.extend_from_slice(frame.raw());
                continue;
            };
            match splice.push(&data, &mut out) {
                Ok(Took::Going) => continue,
                Ok(Took::Ended) => {}
                Ok(Took::Broken) => self.trouble = Some(Trouble::Cut(BodyError::Cut)),
                Err(inexact) => self.trouble = Some(Trouble::Inexact(inexact)),
            }
            break;
        }
        if let Some(by) = self.by.take_if(|_| splice.goes_on()) {
            let cut = if self.left.take().is_some() { None } else { Some(self.broken) };
            self.moved = Some(Moved { by, cut });
            let name = &self.way.entry.view().model.name;
            let id = self.way.request_id.to_str().unwrap_or_default();
            let how = if cut.is_some() { RECOVERED } else { HANDED_OVER };
            self.way.entry.metrics.recovery(how);
            tracing::info!(
                model = %name, claim = %self.target.claim, request.id = id, how,
                "a stream of `{name}` continues on another replica"
            );
        }
        self.note_usage();
        out.into()
    }

    fn note_usage(&mut self) {
        let used = self.splice.as_ref().and_then(Splice::used);
        self.used = used
            .map(|(prompt, completion, cached)| Usage { cached, ..Usage::new(prompt, completion) });
    }

    /// Begins to look for another replica, unless nothing is missing or nothing helps.
    fn help(&mut self, trouble: Trouble) -> Result<Bytes, BodyError> {
        let Some(mut splice) = self.splice.take() else { return Err(self.broken) };
        let has_moved = self.left.as_ref().is_some_and(|left| left.leg.is_some());
        let (by, cut) = match trouble {
            // By its tokens it is the same in any case.
            Trouble::Inexact(Inexact::Prompt) if self.kind == Kind::Chat => (Kind::Text, None),
            Trouble::Inexact(_) if has_moved => {
                self.go_back(Reason::Inexact);
                return Ok(Bytes::new());
            }
            Trouble::Inexact(_) => return self.ends(splice, Reason::Inexact),
            Trouble::Cut(_) if has_moved => {
                self.go_back(Reason::NoReplica);
                return Ok(Bytes::new());
            }
            Trouble::Cut(broken) => {
                self.broken = broken;
                if splice.cut() == Cut::Complete {
                    let mut out = Vec::new();
                    splice.complete(&mut out);
                    self.splice = Some(splice);
                    self.note_usage();
                    return Ok(out.into());
                }
                if broken == BodyError::Cut {
                    self.way.suspect.note(Some(&self.target.claim));
                }
                self.cuts += 1;
                (Kind::Chat, Some(self.target.clone()))
            }
        };
        if let Cut::Lost(lost) = splice.cut() {
            return self.ends(splice, Reason::Lost(lost));
        }
        if self.cuts > MOST {
            return self.ends(splice, Reason::TooOften);
        }
        let lost = std::mem::take(&mut self.lost);
        // Whoever has not gone on is not needed.
        self.by = None;
        let patience = if self.left.is_some() { Duration::ZERO } else { PATIENCE };
        self.search(splice, lost, cut, by, patience);
        Ok(Bytes::new())
    }

    fn go_on(&mut self, next: Next) {
        let Next { body, target, by, kind } = next;
        let leg = OldLeg {
            body: std::mem::replace(&mut self.body, body),
            reader: std::mem::take(&mut self.reader),
            target: std::mem::replace(&mut self.target, target),
            kind: std::mem::replace(&mut self.kind, kind),
        };
        if let Some(left) = &mut self.left {
            left.leg.get_or_insert(leg);
        }
        self.by = Some(by);
        self.watch(true);
    }

    fn ends(&mut self, splice: Splice, reason: Reason) -> Result<Bytes, BodyError> {
        self.splice = Some(splice);
        self.give_up(reason).map(Option::unwrap_or_default)
    }

    /// Ends the stream as if nobody had tried to recover it.
    fn give_up(&mut self, reason: Reason) -> Result<Option<Bytes>, BodyError> {
        self.is_over = true;
        let name = &self.way.entry.view().model.name;
        let (id, reason) = (self.way.request_id.to_str().unwrap_or_default(), reason.as_str());
        self.way.entry.metrics.recovery(reason);
        tracing::info!(
            model = %name, reason, request.id = id,
            "a stream of `{name}` was cut and could not be recovered"
        );
        let words = self.splice.as_mut().and_then(Splice::last_words);
        words.map(|words| Some(words.into())).ok_or(self.broken)
    }
}

/// Waits until then; for ever, if that is never.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
