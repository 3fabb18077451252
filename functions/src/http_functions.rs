//! The routers behind the functions of the API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use diogenes_api::AppSettings;
use diogenes_api::auth::GatewayAuthenticator;
use diogenes_api::control::{
    AuditArea, BudgetParts, BudgetsArea, ClusterArea, ClusterParts, Entrance, GatewayArea,
    KeysArea, ModelsArea, ProjectsArea, PromptsArea, UsageArea,
};
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::{
    Deadlines, Dispatcher, FleetViews, Gateway, GatewaySettings, ProxyState, Purse, WayOut,
};
use diogenes_backends::system::OsEntropy;
use diogenes_core::audit::AuditLog;
use diogenes_core::fleet::{BeatLogs, Registry, StoredDemand};
use diogenes_core::gateway::budget::Budgets;
use diogenes_core::gateway::cache::AnswerShelf;
use diogenes_core::gateway::catalog::{CatalogEditor, SecretRule};
use diogenes_core::gateway::ledger::StoreLedger;
use diogenes_core::gateway::prices::PriceBook;
use diogenes_core::gateway::usage::UsageBook;
use diogenes_core::keys::{Keys, StoreLimiter};
use diogenes_core::ports::{Entropy as _, SecretSource, Topic, Wake, WakeError};
use diogenes_core::prompts::{PromptShelf, Prompts};
#[cfg(feature = "eval")]
use diogenes_core::secret::{Secret, SecretRef};
use diogenes_core::tenancy::Projects;
#[cfg(feature = "invoke")]
use diogenes_core::wake::ElectedWake;
use lambda_http::Error;

#[cfg(any(feature = "invoke", feature = "parameters"))]
use crate::environment::BadVariable;
use crate::environment::duration;
use crate::start::Base;

/// What an event of Lambda carries at most: 6 MB with everything around the body.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_BODY_BYTES: usize = 5 << 20;
/// A plain answer is buffered in the function's memory.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// API Gateway gives up a connection that brings nothing for five minutes, and a function lives
/// for fifteen; both leave some time for the last writes.
const DEADLINES: Deadlines =
    Deadlines { plain: Duration::from_secs(290), stream: Duration::from_secs(870) };

/// A dispatcher, and its metrics.
fn dispatcher(base: &Base, wake: &Arc<dyn Wake>) -> (Dispatcher, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let dispatcher = Dispatcher::new(metrics.clone(), base.clock.clone(), wake.clone());
    (dispatcher.one_of_many(), metrics)
}

/// What `dispatcher` knows, kept in step with the store of `base`.
fn views(base: &Base, wake: &Arc<dyn Wake>, dispatcher: Dispatcher) -> FleetViews {
    let (store, clock) = (base.store.clone(), base.clock.clone());
    FleetViews::stored(Arc::new(dispatcher), store, clock, wake.clone())
}

fn catalog_editor(base: &Base) -> CatalogEditor {
    CatalogEditor::new(base.store.clone(), base.clock.clone(), SecretRule::Parameters)
}

/// The area of routes and providers over the store of `base`.
fn gateway_area(base: &Base, views: FleetViews, prices: PriceBook) -> Arc<GatewayArea> {
    Arc::new(GatewayArea::new(entrance(base), catalog_editor(base), views, prices))
}

pub(crate) fn entrance(base: &Base) -> Entrance {
    Entrance {
        authenticator: Arc::new(GatewayAuthenticator::new(base.clock.clone())),
        max_body_bytes: MAX_BODY_BYTES,
    }
}

/// The routes of `/v1` over the store of `base`. `secrets` has the API keys of providers.
pub fn inference(
    base: &Base,
    wake: &Arc<dyn Wake>,
    secrets: Arc<dyn SecretSource>,
) -> Result<Router, Error> {
    let deadlines = Deadlines {
        plain: duration("DIOGENES_PLAIN_DEADLINE", DEADLINES.plain)?,
        stream: duration("DIOGENES_STREAM_DEADLINE", DEADLINES.stream)?,
    };
    let prices = PriceBook::embedded()?;
    let (gateway, views, metrics) = walk(base, wake, secrets, prices.clone(), Some(deadlines));
    let area = gateway_area(base, views, prices);
    let proxy = ProxyState {
        authenticator: entrance(base).authenticator,
        gateway: Arc::new(gateway),
        metrics,
        settings: AppSettings { max_body_bytes: MAX_BODY_BYTES },
    };
    Ok(diogenes_api::inference_router(Arc::new(proxy), area))
}

/// What answers the requests of jobs, as the router answers those of callers. Nobody waits for them,
/// and so nothing but the end of the function ends one.
pub fn gateway_of_jobs(
    base: &Base,
    wake: &Arc<dyn Wake>,
    secrets: Arc<dyn SecretSource>,
) -> Result<Arc<Gateway>, Error> {
    let (gateway, _, _) = walk(base, wake, secrets, PriceBook::embedded()?, None);
    Ok(Arc::new(gateway))
}

/// What tells whether a model could be asked, and asks none: it wakes nobody, and knows no keys of
/// providers.
#[cfg(feature = "eval")]
pub fn onlooker(base: &Base) -> Result<Arc<Gateway>, Error> {
    gateway_of_jobs(base, &(Arc::new(NoWake) as Arc<dyn Wake>), Arc::new(NoSecrets))
}

/// The walk of a request over the store of `base`, and what it knows of the fleet.
fn walk(
    base: &Base,
    wake: &Arc<dyn Wake>,
    secrets: Arc<dyn SecretSource>,
    prices: PriceBook,
    deadlines: Option<Deadlines>,
) -> (Gateway, FleetViews, Arc<Metrics>) {
    let (dispatcher, metrics) = dispatcher(base, wake);
    let dispatcher =
        dispatcher.with_way_out(WayOut { secrets, store: base.store.clone() }).with_prices(prices);
    let views = views(base, wake, dispatcher);
    let (store, clock) = (base.store.clone(), base.clock.clone());
    let purse = Purse::new(
        Budgets::new(store.clone(), clock.clone()),
        Arc::new(StoreLedger::new(store.clone())),
        views.dispatcher.clone(),
        clock.clone(),
    );
    let gateway = Gateway::new(
        views.clone(),
        Arc::new(StoreLimiter::new(store.clone())),
        clock.clone(),
        GatewaySettings { max_response_bytes: MAX_RESPONSE_BYTES, deadlines },
    );
    let usage = Arc::new(UsageBook::one_of_many(process()));
    let gateway = gateway
        .with_purse(Arc::new(purse))
        .with_answers_in(Arc::new(AnswerShelf::new(store.clone())))
        // Between two requests a function does not run, so that the first one after a while reads.
        .with_prompts(Arc::new(PromptShelf::new(store.clone(), clock)))
        .with_usage_in(store, usage);
    (gateway, views, metrics)
}

/// Tells this process from every other.
fn process() -> String {
    let mut random = [0; 16];
    OsEntropy.fill(&mut random);
    format!("router-{:032x}", u128::from_be_bytes(random))
}

/// The routes of keys over the store of `base`. They start no model.
pub fn keys(base: &Base) -> Router {
    let wake: Arc<dyn Wake> = Arc::new(NoWake);
    let clock = base.clock.clone();
    let keys = Keys::new(base.store.clone(), clock.clone(), Arc::new(OsEntropy));
    let views = views(base, &wake, dispatcher(base, &wake).0);
    let area = KeysArea::new(entrance(base), keys.without_concurrency(), views, clock);
    diogenes_api::keys_router(Arc::new(area))
}

/// The routes of prompts over the store of `base`. They ask no model: versions are compared by their words.
pub fn prompts(base: &Base) -> Router {
    let prompts = Prompts::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy));
    diogenes_api::prompts_router(Arc::new(PromptsArea::new(entrance(base), prompts)))
}

/// The routes of models, the cluster, routes, prices, projects, budgets, usage and the audit log over
/// the store of `base`.
pub fn cluster(base: &Base, wake: &Arc<dyn Wake>) -> Result<Router, Error> {
    let (store, clock) = (base.store.clone(), base.clock.clone());
    let views = views(base, wake, dispatcher(base, wake).0);
    let registry = Registry::new(store.clone(), clock.clone(), wake.clone())
        .with_rule(diogenes_backends::aws::placement::RULE);
    let catalog = catalog_editor(base);
    let models = ModelsArea::new(entrance(base), registry.clone(), catalog, views.clone());
    let gateway = gateway_area(base, views.clone(), PriceBook::embedded()?);
    let budgets = BudgetParts {
        budgets: Budgets::new(store.clone(), clock.clone()),
        ledger: Arc::new(StoreLedger::new(store.clone())),
        views: views.clone(),
        clock: clock.clone(),
    };
    let usage = UsageArea::new(entrance(base), store.clone(), clock.clone());
    let parts = ClusterParts {
        views,
        demand: Arc::new(StoredDemand::new(store.clone(), clock.clone())),
        registry,
        logs: Arc::new(BeatLogs::new(store.clone())),
        clock: clock.clone(),
    };
    let projects = Projects::new(store.clone(), clock.clone());
    let audit = AuditLog::new(store, clock);
    Ok(diogenes_api::cluster_router(
        Arc::new(models),
        gateway,
        Arc::new(ClusterArea::new(entrance(base), parts)),
        Arc::new(ProjectsArea::new(entrance(base), projects)),
        Arc::new(BudgetsArea::new(entrance(base), budgets)),
        Arc::new(usage),
        Arc::new(AuditArea::new(entrance(base), audit)),
    ))
}

/// The asynchronous invocation of the orchestrator that the environment names.
#[cfg(feature = "invoke")]
pub fn wake(base: &Base) -> Result<Arc<dyn Wake>, BadVariable> {
    let function = crate::environment::required("DIOGENES_ORCHESTRATOR")?;
    let client = lambda(&base.config, crate::start::endpoint("AWS_ENDPOINT_URL_LAMBDA"));
    Ok(Arc::new(diogenes_backends::aws::lambda::InvokeWake::new(client, function)))
}

/// The same for one of many processes that wait for the same thing: one of them asks.
#[cfg(feature = "invoke")]
pub fn elected_wake(base: &Base) -> Result<Arc<dyn Wake>, BadVariable> {
    let elected = ElectedWake::new(wake(base)?, base.store.clone(), base.clock.clone());
    Ok(Arc::new(elected))
}

/// The SSM parameters with the API keys of providers.
#[cfg(feature = "parameters")]
pub fn parameters(base: &Base) -> Result<Arc<dyn SecretSource>, BadVariable> {
    let stack = crate::environment::required("DIOGENES_DEPLOYMENT")?;
    let readable = format!("/diogenes/{stack}/providers/*");
    let parameters = diogenes_backends::aws::ssm::ParameterSecrets::new(ssm(base), readable);
    Ok(Arc::new(parameters))
}

/// A client of Systems Manager, or of an emulator of it.
#[cfg(feature = "parameters")]
pub(crate) fn ssm(base: &Base) -> aws_sdk_ssm::Client {
    use diogenes_backends::aws::ssm::ParameterSecrets;

    let config = aws_sdk_ssm::config::Builder::from(&base.config)
        .timeout_config(ParameterSecrets::timeouts());
    let config = match crate::start::endpoint("AWS_ENDPOINT_URL_SSM") {
        Some(endpoint) => config.endpoint_url(endpoint),
        // The router's subnets have no way out but IPv6.
        None => config.use_dual_stack(true),
    };
    aws_sdk_ssm::Client::from_conf(config.build())
}

/// A client of Lambda itself, or of this emulator of it.
#[cfg(feature = "invoke")]
pub(crate) fn lambda(
    config: &aws_config::SdkConfig,
    emulator: Option<String>,
) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::config::Builder::from(config);
    let config = match emulator {
        Some(endpoint) => config.endpoint_url(endpoint),
        // The router's subnets have no way out but IPv6.
        None => config.use_dual_stack(true),
    };
    aws_sdk_lambda::Client::from_conf(config.build())
}

/// For functions that send no request to a provider.
#[cfg(feature = "eval")]
struct NoSecrets;

#[cfg(feature = "eval")]
#[async_trait]
impl SecretSource for NoSecrets {
    async fn read(&self, _: &SecretRef) -> Result<Secret, String> {
        Err("is not this function's to read".into())
    }
}

/// For functions that have no business with the fleet.
pub struct NoWake;

#[async_trait]
impl Wake for NoWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let reason = "this function may not start models".into();
        Err(WakeError::NoReceiver { topic: topic.clone(), reason })
    }
}

#[cfg(test)]
mod tests {
    use diogenes_core::fleet::ModelSpec;

    use super::*;

    #[cfg(feature = "invoke")]
    #[tokio::test]
    async fn the_orchestrator_is_asked_over_ipv6() {
        use aws_credential_types::Credentials;
        use aws_credential_types::provider::SharedCredentialsProvider;

        let (http_client, requests) = aws_smithy_http_client::test_util::capture_request(None);
        let credentials = Credentials::new("key", "secret", None, None, "test");
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::from_static("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client)
            .build();
        lambda(&config, None).invoke().function_name("orchestrator").send().await.unwrap();
        let uri = requests.expect_request().uri().to_owned();
        assert!(uri.starts_with("https://lambda.eu-west-1.api.aws/"), "{uri}");
    }

    #[test]
    fn a_held_stream_outlasts_a_boot_that_takes_too_long() {
        // The launch before it, up to some rungs of the ladder, and the way of the news after it:
        // a reminder of the router's (20 s), a reconcile, a poll.
        const AROUND: Duration = Duration::from_mins(1);
        let boot_timeout = ModelSpec::new(["vllm"]).boot_timeout;
        assert!(boot_timeout + AROUND <= DEADLINES.stream, "{boot_timeout:?}");
    }
}
