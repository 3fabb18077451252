use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::ClaimId;
use diogenes_core::gateway::translation::{ChatTarget, Untranslatable};
use diogenes_core::name::ModelName;
use http::HeaderValue;

use super::call::Call;
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

    /// The body of a request for it.
    pub(super) fn body_of(&self, call: &Call) -> Result<Bytes, Untranslatable> {
        match self {
            // Not every model reasons, and one that does not refuses to be told how long.
            Self::Model(entry) => call.body_for(
                entry.view().model.upstream_name(),
                ChatTarget::Engine { reasoning_parser: false },
            ),
            Self::Hosted(hosted) => call.body_for(hosted.model(), ChatTarget::Hosted),
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
