use std::sync::Arc;

use diogenes_core::gateway::{RouteSpec, WhileCold};
use diogenes_core::name::ModelName;
use diogenes_core::tenancy::Principal;

use super::dispatch::Dispatcher;
use super::entry::Entry;
use crate::error::{ApiError, ErrorKind};

/// Where the name in a request leads: the models that may answer, the first choice first.
pub(super) struct Route {
    /// Its name; none where the request names a model.
    pub(super) name: Option<ModelName>,
    pub(super) while_cold: WhileCold,
    first: Arc<Entry>,
    /// Empty for nearly every request, and then it takes no memory.
    others: Vec<Arc<Entry>>,
}

impl Route {
    /// The way to one model.
    pub(super) fn to(entry: Arc<Entry>) -> Self {
        Self { name: None, while_cold: WhileCold::default(), first: entry, others: Vec::new() }
    }

    /// The way along a route, as far as its models are registered and the key may use them. Who may
    /// use the route by its name may use all of them.
    pub(super) fn along(
        name: &ModelName,
        spec: &RouteSpec,
        dispatcher: &Dispatcher,
        key: &Principal,
    ) -> Result<Self, ApiError> {
        let may_use_all = key.may_use(name);
        let registered: Vec<_> =
            spec.targets.iter().filter_map(|target| dispatcher.get(target.as_str())).collect();
        if registered.is_empty() {
            let targets: Vec<_> = spec.targets.iter().map(|name| format!("`{name}`")).collect();
            let targets = targets.join(", ");
            return Err(ApiError::new(
                ErrorKind::ModelNotFound,
                format!("no target of the route `{name}` is registered; add one of {targets} with `diogenes model apply`"),
            )
            .param("model"));
        }
        let mut entries: Vec<Arc<Entry>> = Vec::with_capacity(registered.len());
        for entry in registered {
            // Two names may be aliases of one model.
            let is_new = entries.iter().all(|known| !Arc::ptr_eq(known, &entry));
            if is_new && (may_use_all || key.may_use(&entry.view().model.name)) {
                entries.push(entry);
            }
        }
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or_else(|| not_allowed(key, name))?;
        let (while_cold, others) = (spec.while_cold, entries.collect());
        Ok(Self { name: Some(name.clone()), while_cold, first, others })
    }

    pub(super) fn first(&self) -> &Arc<Entry> {
        &self.first
    }

    /// Whether there is but one model.
    pub(super) fn is_single(&self) -> bool {
        self.others.is_empty()
    }

    /// The models in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The model at a place; the first where there is none.
    pub(super) fn at(&self, place: usize) -> &Arc<Entry> {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }
}

/// A key that may not use a model, or any model of a route.
pub(super) fn not_allowed(key: &Principal, name: &ModelName) -> ApiError {
    ApiError::new(
        ErrorKind::ModelNotAllowed,
        format!("the API key `{}` may not use model `{name}`; ask for a key that may", key.key),
    )
    .param("model")
}
