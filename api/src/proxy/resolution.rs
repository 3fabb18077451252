use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diogenes_core::gateway::budget::Budget;
use diogenes_core::gateway::cache::KeptAnswer;
use diogenes_core::gateway::record::Share;
use diogenes_core::tenancy::Principal;
use http::HeaderName;

use super::admission::{Admission, InferenceRequest};
use super::arrangement::arrange;
use super::bound::{DEFAULT_OUTPUT_TOKENS, Most, not_a_count, of_images};
use super::call::Call;
use super::consumer::Consumer;
use super::destination::Destination;
use super::draft::Draft;
use super::entry::Entry;
use super::gateway::Gateway;
use super::headers;
use super::keeping::Keeping;
use super::peek::Peek;
use super::published::NamedRoute;
use super::refusal;
use super::route::{Route, key_stays_here, not_allowed};
use super::settlement::{Limited, Settlement};
use super::trace;
use super::views::FleetViews;
use crate::error::{ApiError, ErrorKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Second step: the route that the name leads to.
pub(super) struct Resolution {
    admission: Admission,
    route: Route,
}

/// The third step's beginning: a request that may be sent, and what is settled at its end.
pub(super) struct Planned {
    pub(super) call: Box<Call>,
    pub(super) route: Route,
    pub(super) settlement: Settlement,
    /// The answer, if it was kept.
    pub(super) kept: Option<KeptAnswer>,
}

impl Admission {
    /// Finds the models that the request may go to, if its key may use them.
    pub(super) async fn resolve(self, gateway: &Gateway) -> Result<Resolution, ApiError> {
        let FleetViews { dispatcher, .. } = &gateway.views;
        gateway.views.refresh(&self.peek.model).await?;
        let name = self.peek.model.as_str();
        let key = self.by.principal();
        let to_model = |entry: Arc<Entry>| {
            let view = entry.view();
            if key.may_use(&view.model.name) {
                Ok(Route::to(Destination::Model(entry)))
            } else {
                Err(not_allowed(key, &view.model.name))
            }
        };
        let route = if let Some(entry) = dispatcher.get(name) {
            to_model(entry)?
        } else if let Some(named) = dispatcher.route_named(name) {
            let NamedRoute { name, spec } = &*named;
            for target in spec.models() {
                gateway.views.refresh(target.as_str()).await?;
            }
            Route::along(name, spec, dispatcher, key, |targets| {
                arrange(gateway, &self, name, spec, targets)
            })?
        } else if let Some(hosted) = dispatcher.hosted(name) {
            if !key.may_use(&hosted.name) {
                return Err(not_allowed(key, &hosted.name));
            }
            if !key.egress {
                return Err(key_stays_here(key));
            }
            Route::to(Destination::Hosted(Arc::new(hosted)))
        } else {
            to_model(dispatcher.find_for(name, Some(key))?)?
        };
        Ok(Resolution { admission: self, route })
    }
}

impl Resolution {
    /// Counts the request against the limits of its key, and makes it ready to be sent.
    pub(super) async fn plan(
        self,
        gateway: &Gateway,
        draft: &mut Option<Draft>,
    ) -> Result<Planned, ApiError> {
        let Self { admission, route } = self;
        let first = route.first();
        let Admission { by, request, mut peek, patience } = admission;
        if let Some(draft) = draft {
            let most = Most::of_request(&peek, request.dialect, &request.body).output;
            draft.leads_to(route.name.as_ref(), first, most.filter(|most| *most < u64::MAX));
        }
        let (budgets, most) = counted(gateway, &by, &route, &request, &peek).await?;
        let counts_tokens = by.limits.tokens_per_minute.is_some() || most.is_some();
        let sent = counts_tokens.then(Arc::<AtomicBool>::default);
        let keeping = Keeping::of(gateway, by.principal(), &route, &request);
        let kept = match &keeping {
            Some(keeping) => keeping.find().await,
            None => None,
        };
        let mut limits = by.limits;
        if kept.is_some() {
            // It uses no tokens, so that none need to be left.
            limits.tokens_per_minute = None;
        }
        let limited = if limits.is_unlimited() {
            None
        } else {
            let most = || {
                if request.dialect.is_free() {
                    return 0;
                }
                let most = Most::of_request(&peek, request.dialect, &request.body);
                most.tokens(most.output.unwrap_or(DEFAULT_OUTPUT_TOKENS))
            };
            Some(
                Limited::admit(
                    gateway,
                    (by.principal().limit_key(), &limits),
                    request.dialect,
                    most,
                    sent.clone(),
                )
                .await?,
            )
        };
        if kept.is_some() {
            // Nobody is asked.
        } else if !request.dialect.wakes() {
            awake(&route)?;
        } else if let Some(entry) = first.entry().filter(|_| !request.is_background) {
            entry.asked_for();
        }
        let mut body = request.body;
        let asks_for_usage = counts_tokens && peek.stream && request.dialect.has_stream_options();
        let with_usage = if asks_for_usage { peek.with_usage(&body) } else { None };
        let usage_is_ours = with_usage.is_some();
        body = with_usage.unwrap_or(body);
        let place = || match &draft {
            Some(draft) => draft.place(),
            None => trace::place(&request.headers, Share::ALL),
        };
        let span = trace::span(&request.id, place, &by.key, || first.name());
        let mut fields = request.headers;
        headers::strip(&mut fields);
        fields.insert(REQUEST_ID, request.id.clone());
        let mut call = Box::new(Call {
            id: request.id.clone(),
            by: by.principal().clone(),
            budgets,
            most,
            arrived: request.arrived,
            is_background: request.is_background,
            dialect: request.dialect,
            path: match request.query {
                Some(query) => format!("{}?{query}", request.dialect.target_path()).into(),
                None => request.dialect.target_path().into(),
            },
            headers: fields,
            body,
            peek,
            translated: None,
            traceparent: None,
            sent,
            usage_is_ours,
            patience,
            keeping: keeping.filter(|_| kept.is_none()),
            deadline: gateway
                .settings
                .deadlines
                .map(|deadlines| request.arrived + deadlines.of(patience.stream)),
        });
        // Before anything is woken for it.
        call.translated = if kept.is_some() { None } else { route.translated(&call)? };
        let consumer = Consumer::of(gateway, &call.by, route.name.as_ref());
        let link = gateway.views.link.clone();
        let settlement = Settlement::open(
            first.clone(),
            request.id,
            request.arrived,
            limited,
            consumer,
            link,
            span,
        )
        .with_draft(draft.take());
        Ok(Planned { call, route, settlement, kept })
    }
}

/// Refuses a request that wakes nobody and finds nobody awake.
fn awake(route: &Route) -> Result<(), ApiError> {
    let is_awake = |at: &Destination| at.entry().is_none_or(|entry| entry.is_reachable());
    if route.destinations().any(is_awake) {
        return Ok(());
    }
    let name = route.first().name();
    Err(ApiError::new(
        ErrorKind::NotFound,
        format!("model `{name}` is not running, and counting tokens does not start it"),
    ))
}

/// The budgets that count a request, and what they and prices have to know of it.
async fn counted(
    gateway: &Gateway,
    by: &Principal,
    route: &Route,
    request: &InferenceRequest,
    peek: &Peek,
) -> Result<(Vec<Budget>, Option<Most>), ApiError> {
    let purse = gateway.purse.as_ref().filter(|_| !request.dialect.is_free());
    let Some(purse) = purse else { return Ok((Vec::new(), None)) };
    let mut budgets = purse.budgets_of(by, route.name.as_ref()).await?;
    budgets.extend(request.allowance.as_deref().cloned());
    if budgets.is_empty() && !route.destinations().any(|at| purse.may_price(at)) {
        return Ok((budgets, None));
    }
    let is_counted = !budgets.is_empty() || route.limits_wake_ups();
    if let Some(field) = not_a_count(&request.body).filter(|_| is_counted) {
        return Err(ApiError::new(
            ErrorKind::InvalidRequest,
            format!("`{field}` must be a whole number of at least 0: a budget counts this request"),
        )
        .param(field));
    }
    let mut most = Most::of_request(peek, request.dialect, &request.body);
    if !request.dialect.generates() {
        most.output = Some(0);
    }
    let images = match request.dialect.unbounded() {
        Some(place) => Err(place.to_owned()),
        None => of_images(&request.body),
    };
    match images {
        Ok(tokens) => most.input = most.input.saturating_add(tokens),
        Err(place) => {
            let may_count = |at| !budgets.iter().all(|budget| purse.is_free_for(budget, at));
            if route.destinations().any(may_count) {
                return Err(refusal::unbounded(&place));
            }
            most.unbounded = Some(place);
        }
    }
    Ok((budgets, Some(most)))
}
