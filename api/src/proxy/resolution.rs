use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderName;

use super::admission::Admission;
use super::arrangement::arrange;
use super::call::Call;
use super::destination::Destination;
use super::gateway::Gateway;
use super::headers;
use super::peek::most_tokens;
use super::route::{Route, key_stays_here, not_allowed};
use super::settlement::{Limited, Settlement};
use super::trace;
use super::views::FleetViews;
use crate::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The tokens of an answer that are reserved under a limit where the request does not say.
const DEFAULT_OUTPUT_TOKENS: u64 = 4096;

/// Second step: the route that the name leads to.
pub(super) struct Resolution {
    admission: Admission,
    route: Route,
}

/// The third step's beginning: a request that may be sent, and what is settled at its end.
pub(super) struct Planned {
    pub(super) call: Call,
    pub(super) route: Route,
    pub(super) settlement: Settlement,
}

impl Admission {
    /// Finds the models that the request may go to, if its key may use them.
    pub(super) async fn resolve(self, gateway: &Gateway) -> Result<Resolution, ApiError> {
        let FleetViews { dispatcher, .. } = &gateway.views;
        gateway.views.refresh(&self.peek.model).await?;
        let name = self.peek.model.as_str();
        let key = self.by.principal();
        let route = if let Some((name, spec)) = dispatcher.route_named(name) {
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
            let entry = dispatcher.find_for(name, Some(key))?;
            let name = entry.view().model.name.clone();
            if !key.may_use(&name) {
                return Err(not_allowed(key, &name));
            }
            Route::to(Destination::Model(entry))
        };
        Ok(Resolution { admission: self, route })
    }
}

impl Resolution {
    /// Counts the request against the limits of its key, and makes it ready to be sent.
    pub(super) async fn plan(self, gateway: &Gateway) -> Result<Planned, ApiError> {
        let Self { admission, route } = self;
        let first = route.first();
        let Admission { by, request, mut peek, patience } = admission;
        let counts_tokens = by.limits.tokens_per_minute.is_some();
        let sent = counts_tokens.then(Arc::<AtomicBool>::default);
        let limited = if by.limits.is_unlimited() {
            None
        } else {
            let most = || most_tokens(&request.body, DEFAULT_OUTPUT_TOKENS);
            Some(Limited::admit(gateway, by.principal(), most, sent.clone()).await?)
        };
        if let Some(entry) = first.entry() {
            entry.asked_for();
        }
        let mut body = request.body;
        let asks_for_usage = counts_tokens && peek.stream && request.dialect.has_stream_options();
        let with_usage = if asks_for_usage { peek.with_usage(&body) } else { None };
        let usage_is_ours = with_usage.is_some();
        body = with_usage.unwrap_or(body);
        let span = trace::span(&request.id, &request.headers, &by.key, || first.name());
        let mut fields = request.headers;
        headers::strip(&mut fields);
        fields.insert(REQUEST_ID, request.id.clone());
        let mut call = Call {
            id: request.id.clone(),
            key: by.key.clone(),
            arrived: request.arrived,
            dialect: request.dialect,
            path: match request.query {
                Some(query) => format!("{}?{query}", request.dialect.path()).into(),
                None => request.dialect.path().into(),
            },
            headers: fields,
            body,
            peek,
            translated: None,
            sent,
            usage_is_ours,
            patience,
            deadline: gateway
                .settings
                .deadlines
                .map(|deadlines| request.arrived + deadlines.of(patience.stream)),
        };
        // Before anything is woken for it.
        call.translated = route.translated(&call)?;
        let link = gateway.views.link.clone();
        let settlement = Settlement::open(
            first.metrics().clone(),
            request.id,
            request.arrived,
            limited,
            link,
            span,
        );
        Ok(Planned { call, route, settlement })
    }
}
