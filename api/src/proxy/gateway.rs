use std::sync::Arc;
use std::time::Duration;

use diogenes_core::gateway::cache::AnswerShelf;
use diogenes_core::gateway::record::{RequestSink, Share};
use diogenes_core::gateway::usage::UsageBook;
use diogenes_core::ports::{Clock, Limiter, StateStore};
use diogenes_core::prompts::PromptShelf;

use super::casualties::Casualties;
use super::conversations::Conversations;
use super::purse::Purse;
use super::trials::Trials;
use super::views::FleetViews;

/// What requests for inference need of their surroundings. Its [`walk`](Self::walk) takes them
/// from who asks to what is settled; it needs no HTTP server, and `/v1` is one caller.
pub struct Gateway {
    pub(super) views: FleetViews,
    pub(super) limiter: Arc<dyn Limiter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: GatewaySettings,
    pub(super) casualties: Arc<Casualties>,
    pub(super) conversations: Conversations,
    pub(super) purse: Option<Arc<Purse>>,
    pub(super) usage: Option<Arc<UsageBook>>,
    /// Where what was used is written after each request; none where somebody else sees to that.
    pub(super) usage_store: Option<Arc<dyn StateStore>>,
    /// Where answers are kept.
    pub(super) answers: Option<Arc<AnswerShelf>>,
    pub(super) records: Option<Records>,
    /// Prompts that requests may name.
    pub(super) prompts: Option<Arc<PromptShelf>>,
    /// Who takes note of requests under deployments.
    pub(super) trials: Option<Arc<Trials>>,
}

/// Who takes the records of finished requests.
#[derive(Clone)]
pub struct Records {
    /// Takes each.
    pub sink: Arc<dyn RequestSink>,
    /// How many of the traces that begin here are kept.
    pub share: Share,
}

/// Bounds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The largest answer that is buffered, in bytes.
    pub max_response_bytes: usize,
    /// How long requests may take; none for as long as they like.
    pub deadlines: Option<Deadlines>,
}

/// How long a request may take from its arrival to the last byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// One whose answer is not streamed.
    pub plain: Duration,
    /// One whose answer is streamed.
    pub stream: Duration,
}

impl Deadlines {
    pub(super) fn of(self, stream: bool) -> Duration {
        if stream { self.stream } else { self.plain }
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { max_response_bytes: 256 << 20, deadlines: None }
    }
}

impl Gateway {
    /// A gateway over these views of the fleet.
    pub fn new(
        views: FleetViews,
        limiter: Arc<dyn Limiter>,
        clock: Arc<dyn Clock>,
        settings: GatewaySettings,
    ) -> Self {
        Self {
            views,
            limiter,
            clock,
            settings,
            casualties: Arc::default(),
            conversations: Conversations::default(),
            purse: None,
            usage: None,
            usage_store: None,
            answers: None,
            records: None,
            prompts: None,
            trials: None,
        }
    }

    /// The same with a place for the answers that routes keep.
    #[must_use]
    pub fn with_answers_in(mut self, place: Arc<AnswerShelf>) -> Self {
        self.answers = Some(place);
        self
    }

    /// The same for requests that name prompts.
    #[must_use]
    pub fn with_prompts(mut self, prompts: Arc<PromptShelf>) -> Self {
        self.prompts = Some(prompts);
        self
    }

    /// The same with somebody who takes note of requests under deployments.
    #[must_use]
    pub fn with_trials(mut self, trials: Trials) -> Self {
        self.trials = Some(Arc::new(trials));
        self
    }

    /// The same with prices and budgets.
    #[must_use]
    pub fn with_purse(mut self, purse: Arc<Purse>) -> Self {
        self.purse = Some(purse);
        self
    }

    /// The same with a book of who uses what.
    #[must_use]
    pub fn with_usage(mut self, usage: Arc<UsageBook>) -> Self {
        self.usage = Some(usage);
        self
    }

    /// The same with somebody who takes the records of finished requests, `None` for nobody.
    #[must_use]
    pub fn with_records(mut self, records: Option<Records>) -> Self {
        self.records = records;
        self
    }

    /// The same with a book that is written to `store` after each request, as the process may be
    /// stopped for good between two of them.
    #[must_use]
    pub fn with_usage_in(mut self, store: Arc<dyn StateStore>, usage: Arc<UsageBook>) -> Self {
        self.usage_store = Some(store);
        self.with_usage(usage)
    }
}
