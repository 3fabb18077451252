mod bounds;
mod dataset_bounds;
mod deployment_bounds;
mod eval_bounds;
mod job_bounds;
mod prompt_bounds;

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use diogenes_core::fleet::SpecRule;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::cluster::ClusterArea;
use super::{
    audit, budgets, cluster, cost, datasets, deployments, evals, gateway, jobs, keys, models,
    new_jobs, prices, projects, prompts, queues, rate_cards, schedules, usage, work,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diogenes control plane",
        description = "Keys, projects, budgets, models, routes, providers, prices, the cluster, jobs, prompts, datasets, evals, deployments, usage and the audit log. Inference is OpenAI's \
                       API under `/v1`. Every call needs `Authorization: Bearer` with a key that \
                       has the scope for it, such as `admin`; every error is an OpenAI error object with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        keys::create, keys::list, keys::show, keys::revoke, keys::rotate,
        projects::create, projects::list, projects::show, projects::archive,
        budgets::list, budgets::show, budgets::set, budgets::delete,
        audit::list,
        new_jobs::create, new_jobs::templates, new_jobs::webhook_secret, jobs::list, jobs::show, jobs::cancel, jobs::retry, jobs::logs,
        queues::list, queues::change,
        schedules::list, schedules::show, schedules::apply, schedules::change, schedules::delete,
        work::claim, work::beat, work::finish,
        prompts::handlers::list, prompts::handlers::show, prompts::handlers::update,
        prompts::handlers::delete,
        prompts::versions::push, prompts::versions::history, prompts::versions::show_version,
        prompts::versions::render,
        prompts::comparison::compare,
        prompts::labels::put_label, prompts::labels::remove_label,
        evals::handlers::create, evals::handlers::list, evals::handlers::show,
        evals::handlers::cancel, evals::handlers::results, evals::handlers::evaluators,
        evals::planning::plan, evals::comparison::compare, evals::calibration::calibrate,
        datasets::handlers::list, datasets::handlers::create, datasets::handlers::show,
        datasets::handlers::update, datasets::handlers::delete,
        datasets::examples::list, datasets::examples::add, datasets::examples::remove,
        datasets::examples::show, datasets::examples::replace,
        datasets::snapshots::list, datasets::snapshots::show, datasets::snapshots::compare,
        datasets::files::send, datasets::files::content,
        datasets::transfers::import, datasets::transfers::export,
        deployments::handlers::create, deployments::handlers::list, deployments::handlers::show,
        deployments::handlers::status,
        deployments::orders::approve, deployments::orders::promote, deployments::orders::pause,
        deployments::orders::resume, deployments::orders::cancel, deployments::orders::roll_back,
        usage::read,
        cost::read,
        models::list, models::show, models::apply, models::delete,
        gateway::list_routes, gateway::show_route, gateway::apply_route, gateway::delete_route,
        gateway::list_providers, gateway::show_provider, gateway::apply_provider,
        gateway::delete_provider, gateway::check_provider,
        prices::list, prices::show_imported, prices::import, prices::delete_imported,
        rate_cards::list,
        rate_cards::show,
        rate_cards::apply,
        rate_cards::delete,
        cluster::state, cluster::order, cluster::logs,
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document of the control plane, made from the handlers.
pub fn document() -> Value {
    let mut document = plain();
    bounds::apply(&mut document);
    document
}

/// The document as the types of the handlers tell.
fn plain() -> Value {
    serde_json::to_value(Document::openapi()).unwrap_or_default()
}

/// `GET /api/v1/openapi.json`; needs no key.
pub(super) async fn serve(State(area): State<Arc<ClusterArea>>) -> Json<Value> {
    Json(of_installation(area.rule()))
}

/// The document, without what this installation refuses.
fn of_installation(rule: SpecRule) -> Value {
    // Anybody may ask for it, so it is put together once.
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    let mut document = DOCUMENT.clone();
    // The key of a provider is kept on the machine, or on AWS in a parameter.
    let forms = document.pointer_mut("/components/schemas/ProviderSpec/properties/api_key/oneOf");
    if let Some(Value::Array(forms)) = forms {
        forms.retain(|form| {
            let is_parameter = form.pointer("/properties/ssm").is_some();
            form.get("properties").is_none() || is_parameter == rule.has_parameters
        });
    }
    let Some(spec) = document.pointer_mut("/components/schemas/ModelSpec") else {
        return document;
    };
    if !rule.has_places {
        if let Some(Value::Object(ladder)) = spec.pointer_mut("/properties/ladder") {
            ladder.insert("maxItems".into(), 0.into());
        }
        // One machine has every port once, also where the command is told its port.
        if let Value::Object(spec) = &mut *spec {
            let one_replica = json!({"anyOf": [
                {"properties": {"port": {"type": "null"}}},
                {"properties": {"max_replicas": {"const": 1}}},
            ]});
            spec.insert("allOf".into(), json!([one_replica]));
        }
    }
    if !rule.has_parameters {
        let forms = spec.pointer_mut("/properties/env/additionalProperties/oneOf");
        if let Some(Value::Array(forms)) = forms {
            forms.retain(|form| form.pointer("/properties/ssm").is_none());
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_provider_is_where_the_installation_can_read_it() {
        let kinds = |has_parameters| {
            let document = of_installation(SpecRule { has_parameters, ..SpecRule::default() });
            let key = &document["components"]["schemas"]["ProviderSpec"]["properties"]["api_key"];
            let forms = key["oneOf"].as_array().unwrap().iter();
            let kind = |form: &Value| form.pointer("/required/0").unwrap_or(&form["type"]).clone();
            forms.map(kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(true), ["ssm", "null"]);
        assert_eq!(kinds(false), ["env", "file", "null"]);
    }

    #[test]
    fn the_document_of_one_machine_has_no_ladder_and_no_parameters() {
        let spec = |rule: SpecRule| {
            let document = of_installation(rule);
            let spec = &document["components"]["schemas"]["ModelSpec"];
            let one_replica = "/allOf/0/anyOf/1/properties/max_replicas/const";
            assert_eq!(spec.pointer(one_replica).is_some(), !rule.has_places);
            document["components"]["schemas"]["ModelSpec"]["properties"].clone()
        };
        let everything = SpecRule::default();
        let forms =
            |spec: &Value| spec["env"]["additionalProperties"]["oneOf"].as_array().unwrap().len();
        let whole = spec(everything);
        assert_eq!((forms(&whole), whole["ladder"].get("maxItems")), (4, None));
        let here = spec(SpecRule { has_places: false, has_parameters: false, ..everything });
        assert_eq!((forms(&here), &here["ladder"]["maxItems"]), (3, &json!(0)));
    }
}
