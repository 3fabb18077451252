use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::fleet::{
    ClaimId, Failure, ModelView, Order, Registry, SlotView, SpecRule, Standing,
};
use diogenes_core::ports::{Clock, Demand, DemandSource, LogSource};
use diogenes_core::tenancy::{Allowed, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, QueryString, parse_name};
use super::models::registry_error;
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};
use crate::proxy::FleetViews;

/// What the handlers of the cluster share.
pub struct ClusterArea {
    entrance: Entrance,
    parts: ClusterParts,
}

/// What a [`ClusterArea`] is made of.
pub struct ClusterParts {
    /// Which models there are and who serves them.
    pub views: FleetViews,
    /// What callers want of each model.
    pub demand: Arc<dyn DemandSource>,
    /// Takes operators' orders.
    pub registry: Registry,
    /// The logs of inference servers.
    pub logs: Arc<dyn LogSource>,
    /// What the states are as of.
    pub clock: Arc<dyn Clock>,
}

impl ClusterArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, parts: ClusterParts) -> Self {
        Self { entrance, parts }
    }

    /// What this installation asks of a model; everybody may know.
    pub(super) fn rule(&self) -> SpecRule {
        self.parts.registry.rule()
    }

    fn scales(&self, by: &Allowed<may::ClusterScale>) -> Registry {
        self.parts.registry.on_behalf_of(Actor::from(by))
    }

    fn logs(&self, _: &Allowed<may::ClusterLogs>) -> &dyn LogSource {
        &*self.parts.logs
    }

    fn reads(&self, _: &Allowed<may::ClusterRead>) -> &FleetViews {
        &self.parts.views
    }

    async fn state_of(&self, view: &ModelView) -> Result<ModelState, ApiError> {
        let demand = self.parts.demand.demand(&view.model.name).await;
        let demand = demand.map_err(|error| store_error(&error))?;
        Ok(ModelState::new(view, &demand, self.parts.clock.now()))
    }
}

impl AsRef<Entrance> for ClusterArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// The fleet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClusterState {
    /// The models, by name.
    pub data: Vec<ModelState>,
}

/// The state of one model.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelState {
    /// The model.
    pub model: String,
    /// Other names that callers may send.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// `asleep`, `starting`, `ready`, `stopping` or `failed`.
    #[schema(value_type = String)]
    pub standing: Standing,
    /// At least one replica is kept.
    pub pinned: bool,
    /// Requests that wait for a replica.
    pub held: u32,
    /// Requests that replicas work on.
    pub in_flight: u32,
    /// The newest request.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_request_at: Option<Timestamp>,
    /// When it was last in use: the end of the newest request, or its arrival where no replica
    /// has answered it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// The progress of the boot that is furthest along.
    pub progress: Option<ProgressBody>,
    /// The last failed scale-up, while the model backs off.
    #[schema(value_type = Option<Object>)]
    pub failure: Option<Failure>,
    /// The taken slots.
    #[schema(value_type = Vec<Object>)]
    pub slots: Vec<SlotView>,
}

/// The progress of a boot.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProgressBody {
    /// `launch`, `boot`, `image`, `weights` or `warmup`.
    pub phase: String,
    /// Seconds since the launch.
    pub elapsed_s: f64,
    /// Seconds until it is ready, where earlier boots tell.
    pub eta_s: Option<f64>,
}

/// An operator's order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// The model.
    pub model: String,
    /// What to do.
    pub action: OrderKind,
}

/// What to do with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Start a replica now, as a request would.
    Up,
    /// Drain every replica; the next request starts one again.
    Down,
    /// Keep at least one replica.
    Pin,
    /// Let the demand decide again.
    Unpin,
}

/// A piece of a log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Whose log it is.
    #[schema(value_type = String)]
    pub claim: ClaimId,
    /// The text.
    pub text: String,
    /// The offset to continue at.
    pub next_offset: u64,
    /// Why the model could not be started since, where that start has left no log: this one is of
    /// an earlier replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadLogs {
    /// The model.
    model: String,
    /// The log to continue; the newest when absent.
    claim: Option<String>,
    /// Where to continue; the last part when absent.
    offset: Option<u64>,
    /// The most bytes, up to 1 MiB; 64 KiB when absent.
    max_bytes: Option<usize>,
}

impl ModelState {
    fn new(view: &ModelView, demand: &Demand, now: Timestamp) -> Self {
        let standing = view.standing(now);
        let progress = (standing == Standing::Starting).then(|| {
            let progress = view.progress(now);
            ProgressBody {
                phase: progress.phase.to_string(),
                elapsed_s: progress.elapsed.as_secs_f64(),
                eta_s: progress.eta.map(|eta| eta.as_secs_f64()),
            }
        });
        Self {
            model: view.model.name.to_string(),
            aliases: view.model.spec.aliases.iter().map(ToString::to_string).collect(),
            standing,
            pinned: view.control.pinned,
            held: demand.held,
            in_flight: demand.total().saturating_sub(demand.held),
            last_request_at: demand.last_request_at,
            last_used_at: demand.last_used_at(),
            progress,
            failure: view.failure(now).cloned(),
            slots: view.slots.iter().map(SlotView::from).collect(),
        }
    }
}

/// Show the fleet.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, body = ClusterState), (status = "4XX", body = ErrorBody)))]
pub(super) async fn state(
    Allow(by): Allow<may::ClusterRead>,
    State(area): State<Arc<ClusterArea>>,
) -> Result<Json<ClusterState>, ApiError> {
    let views = area.reads(&by);
    views.refresh_all().await?;
    let mut data = Vec::new();
    // Of a deleted model there may be something that is still paid for.
    let is_seen = |view: &ModelView| view.model.deleted_at.is_none() || !view.slots.is_empty();
    for view in views.dispatcher.all_views().into_iter().filter(|view| is_seen(view)) {
        data.push(area.state_of(&view).await?);
    }
    Ok(Json(ClusterState { data }))
}

/// Start, stop or pin a model. The answer comes before the effect.
#[utoipa::path(post, path = "/api/v1/cluster/scale", request_body = OrderRequest, tag = "cluster",
    responses((status = 202, body = ModelState), (status = "4XX", body = ErrorBody)))]
pub(super) async fn order(
    Allow(by): Allow<may::ClusterScale>,
    State(area): State<Arc<ClusterArea>>,
    JsonBody(body): JsonBody<OrderRequest>,
) -> Result<(StatusCode, Json<ModelState>), ApiError> {
    area.parts.views.refresh(&body.model).await?;
    let entry = area.parts.views.dispatcher.find(&body.model)?;
    let view = entry.view();
    let order = match body.action {
        OrderKind::Up => Order::Up,
        OrderKind::Down => Order::Down,
        OrderKind::Pin => Order::Pin,
        OrderKind::Unpin => Order::Unpin,
    };
    area.scales(&by)
        .order(&view.model.name, order)
        .await
        .map_err(|error| registry_error(&error))?;
    Ok((StatusCode::ACCEPTED, Json(area.state_of(&entry.view()).await?)))
}

/// Read the log of a model's inference server.
#[utoipa::path(get, path = "/api/v1/cluster/logs", params(ReadLogs), tag = "cluster",
    responses((status = 200, body = LogPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn logs(
    Allow(by): Allow<may::ClusterLogs>,
    State(area): State<Arc<ClusterArea>>,
    QueryString(query): QueryString<ReadLogs>,
) -> Result<Json<LogPage>, ApiError> {
    // A deleted model's log may still be of interest, so an unknown name is not an error yet.
    area.parts.views.refresh(&query.model).await?;
    let known = area.parts.views.dispatcher.find(&query.model);
    let name = match &known {
        Ok(entry) => entry.view().model.name.clone(),
        Err(_) => parse_name(&query.model)?,
    };
    let is_newest = query.claim.is_none();
    let most = query.max_bytes.unwrap_or(64 << 10).clamp(1, 1 << 20);
    let chunk = match query.claim {
        Some(claim) => {
            let claim = ClaimId::new(claim);
            area.logs(&by).read_from(&name, &claim, query.offset.unwrap_or(0), most).await
        }
        None => area.logs(&by).tail(&name, most).await,
    };
    let chunk = chunk.map_err(|error| ApiError::internal(&error))?;
    let failure = known.as_ref().ok().and_then(|entry| last_failure(&entry.view()));
    let Some(chunk) = chunk else {
        return Err(known.err().unwrap_or_else(|| {
            let why = match failure {
                Some(Failure { reason, .. }) => {
                    format!("could not be started, so it has no log: {reason}")
                }
                None => {
                    format!("has not run yet, so it has no log; start it with `diogenes up {name}`")
                }
            };
            ApiError::new(ErrorKind::NotFound, format!("model `{name}` {why}"))
        }));
    };
    let is_of_another =
        |failure: &Failure| failure.claim.as_ref().is_some_and(|claim| *claim != chunk.claim);
    let failure = failure.filter(|failure| is_newest && is_of_another(failure));
    Ok(Json(LogPage {
        claim: chunk.claim,
        text: chunk.text,
        next_offset: chunk.next_offset,
        failure: failure.map(|failure| failure.reason),
    }))
}

/// Why the last start of a model failed, unless another is on its way.
fn last_failure(view: &ModelView) -> Option<Failure> {
    view.control.failure.clone().filter(|_| view.slots.is_empty())
}
