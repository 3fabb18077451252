use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::{ClaimId, ResponsesApi};
use diogenes_core::gateway::ProviderKind;
use diogenes_core::name::ModelName;
use http::HeaderValue;

use super::bound::DEFAULT_OUTPUT_TOKENS;
use super::dialect::Dialect;
use super::entry::{Entry, Lease};
use super::fleet_link::Guard;
use super::provider::Hosted;
use crate::metrics::ModelMetrics;

/// Where a request may go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// To a model of the fleet.
    Model(Arc<Entry>),
    /// To a provider's.
    Hosted(Arc<Hosted>),
}

impl Destination {
    /// The model's name, as registered or with its provider before it.
    pub(super) fn name(&self) -> ModelName {
        match self {
            Self::Model(entry) => entry.view().model.name.clone(),
            Self::Hosted(hosted) => hosted.name.clone(),
        }
    }

    /// The same for `x-diogenes-model`.
    pub(super) fn name_field(&self) -> Option<HeaderValue> {
        match self {
            Self::Model(entry) => HeaderValue::from_str(entry.view().model.name.as_str()),
            Self::Hosted(hosted) => HeaderValue::from_str(hosted.name.as_str()),
        }
        .ok()
    }

    pub(super) fn metrics(&self) -> &Arc<ModelMetrics> {
        match self {
            Self::Model(entry) => &entry.metrics,
            Self::Hosted(hosted) => hosted.metrics(),
        }
    }

    /// How long an answer may take to begin and may pause; a plain one, how long it may take.
    pub(super) fn timeout(&self, stream: bool) -> Duration {
        match self {
            Self::Model(entry) => {
                let view = entry.view();
                let spec = &view.model.spec;
                if stream { spec.stall_timeout } else { spec.answer_timeout }
            }
            Self::Hosted(hosted) => {
                let spec = hosted.spec();
                if stream { spec.stall_timeout } else { spec.timeout }
            }
        }
    }

    /// What it is asked in by a caller of this dialect.
    pub(super) fn asked_in(&self, caller: Dialect) -> Dialect {
        match self {
            Self::Model(_) if caller == Dialect::CountTokens => Dialect::Tokenize,
            Self::Model(entry) => {
                let has_responses = || entry.view().model.spec.responses == ResponsesApi::Native;
                chat_or(caller, has_responses)
            }
            Self::Hosted(hosted) => match hosted.spec().kind {
                ProviderKind::OpenAi => chat_or(caller, || hosted.spec().has_responses()),
                ProviderKind::Anthropic if caller == Dialect::CountTokens => caller,
                ProviderKind::Anthropic => Dialect::Messages,
            },
        }
    }

    /// Passes on the name that it knows the model by.
    pub(super) fn with_model<T>(&self, act: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Model(entry) => act(entry.view().model.upstream_name()),
            Self::Hosted(hosted) => act(hosted.model()),
        }
    }

    /// The most tokens of an answer where the request does not say.
    pub(super) fn default_output(&self) -> u64 {
        match self {
            Self::Model(_) => DEFAULT_OUTPUT_TOKENS,
            Self::Hosted(hosted) => hosted.spec().default_max_tokens,
        }
    }

    /// What its answers depend on, for those that are kept: who gives them, and what is asked.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Model(entry) => {
                let view = entry.view();
                let model = &view.model;
                let (launch, known_as) = (view.launch.as_str(), model.upstream_name());
                format!("{}@{launch} {known_as} {:?}", model.name, model.spec.responses)
            }
            Self::Hosted(hosted) => {
                let spec = hosted.spec();
                let (url, most) = (&spec.base_url, spec.default_max_tokens);
                let has_responses = spec.has_responses();
                format!("{} {:?} {url} {has_responses} {most}", hosted.name, spec.kind)
            }
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Model(one), Self::Model(other)) => Arc::ptr_eq(one, other),
            (Self::Hosted(one), Self::Hosted(other)) => one.is(other),
            _ => false,
        }
    }

    /// The model's entry, if it is one of the fleet.
    pub(super) fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Model(entry) => Some(entry),
            Self::Hosted(_) => None,
        }
    }
}

/// What those are asked in who speak OpenAI's API, of which not all have `/v1/responses`.
fn chat_or(caller: Dialect, has_responses: impl FnOnce() -> bool) -> Dialect {
    match caller {
        // Nobody but Anthropic counts, and what cannot be is refused.
        Dialect::Messages | Dialect::CountTokens => Dialect::ChatCompletions,
        Dialect::Responses if !has_responses() => Dialect::ChatCompletions,
        same => same,
    }
}

/// Who answers a request. A replica counts as busy with it until this is dropped.
pub(super) enum Answerer {
    Replica { lease: Lease, _in_use: Option<Box<dyn Guard>> },
    Provider(Arc<Hosted>),
}

impl Answerer {
    pub(super) fn destination(&self) -> Destination {
        match self {
            Self::Replica { lease, .. } => Destination::Model(lease.entry().clone()),
            Self::Provider(hosted) => Destination::Hosted(hosted.clone()),
        }
    }

    /// `x-diogenes-target`.
    pub(super) fn label(&self) -> &HeaderValue {
        match self {
            Self::Replica { lease, .. } => &lease.target.label,
            Self::Provider(hosted) => &hosted.label,
        }
    }

    /// The replica that answers.
    pub(super) fn claim(&self) -> Option<&ClaimId> {
        match self {
            Self::Replica { lease, .. } => Some(&lease.target.claim),
            Self::Provider(_) => None,
        }
    }
}
