use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diogenes_core::gateway::{Route, Target};
use http::HeaderName;

use super::admission::Admission;
use super::call::Call;
use super::entry::Entry;
use super::gateway::Gateway;
use super::headers;
use super::peek::most_tokens;
use super::refusal;
use super::settlement::{Limited, Settlement};
use super::trace;
use crate::error::{ApiError, ErrorKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The tokens of an answer that are reserved under a limit where the request does not say.
const DEFAULT_OUTPUT_TOKENS: u64 = 4096;

/// Second step: the route that the name leads to.
pub(super) struct Resolution {
    admission: Admission,
    route: Route,
    /// The model that the route's target stands for.
    entry: Arc<Entry>,
}

/// The third step's beginning: a request that may be sent, and what is settled at its end.
pub(super) struct Planned {
    pub(super) call: Call,
    pub(super) route: Route,
    pub(super) entry: Arc<Entry>,
    pub(super) settlement: Settlement,
}

impl Admission {
    /// Finds the model that the request names, if its key may use it.
    pub(super) async fn resolve(self, gateway: &Gateway) -> Result<Resolution, ApiError> {
        gateway.views.refresh(&self.peek.model).await?;
        let entry =
            gateway.views.dispatcher.find_for(&self.peek.model, Some(self.by.principal()))?;
        let name = entry.view().model.name.clone();
        if !self.by.may_use(&name) {
            let key = &self.by.key;
            return Err(ApiError::new(
                ErrorKind::ModelNotAllowed,
                format!("the API key `{key}` may not use model `{name}`; ask for a key that may"),
            )
            .param("model"));
        }
        let route = Route { targets: vec![Target::Model(name)] };
        Ok(Resolution { admission: self, route, entry })
    }
}

impl Resolution {
    /// Counts the request against the limits of its key, and makes it ready to be sent.
    pub(super) async fn plan(self, gateway: &Gateway) -> Result<Planned, ApiError> {
        let Self { admission, route, entry } = self;
        let Admission { by, request, mut peek, patience } = admission;
        let counts_tokens = by.limits.tokens_per_minute.is_some();
        let sent = counts_tokens.then(Arc::<AtomicBool>::default);
        let limited = if by.limits.is_unlimited() {
            None
        } else {
            let most = || most_tokens(&request.body, DEFAULT_OUTPUT_TOKENS);
            Some(Limited::admit(gateway, by.principal(), most, sent.clone()).await?)
        };
        entry.asked_for();
        let view = entry.view();
        let spec = &view.model.spec;
        let mut body = request.body;
        let asks_for_usage = counts_tokens && peek.stream && request.dialect.has_stream_options();
        let with_usage = if asks_for_usage { peek.with_usage(&body) } else { None };
        let usage_is_ours = with_usage.is_some();
        body = with_usage.unwrap_or(body);
        let upstream_model = refusal::upstream_name(&view);
        let span = trace::span(&request.id, &request.headers, &by.key, view.model.name.as_str());
        let mut fields = request.headers;
        headers::strip(&mut fields);
        fields.insert(REQUEST_ID, request.id.clone());
        let call = Call {
            id: request.id.clone(),
            key: by.key.clone(),
            arrived: request.arrived,
            dialect: request.dialect,
            path: match request.query {
                Some(query) => format!("{}?{query}", request.dialect.path()).into(),
                None => request.dialect.path().into(),
            },
            headers: fields,
            body: peek.with_model(&body, upstream_model),
            sent,
            usage_is_ours,
            patience,
            timeout: if peek.stream { spec.stall_timeout } else { spec.answer_timeout },
            deadline: gateway
                .settings
                .deadlines
                .map(|deadlines| request.arrived + deadlines.of(peek.stream)),
        };
        let link = gateway.views.link.clone();
        let settlement =
            Settlement::open(entry.clone(), request.id, request.arrived, limited, link, span);
        Ok(Planned { call, route, entry, settlement })
    }
}
