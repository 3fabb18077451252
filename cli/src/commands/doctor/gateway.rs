//! Routes, providers and rate cards: what nobody answers to.

use std::collections::BTreeSet;

use diogenes_api::control::{
    ModelPage, ProviderBody, ProviderCheck, ProviderList, RateCardBody, RateCardList, RouteBody,
    RouteList,
};
use diogenes_core::fleet::Source;
use diogenes_core::name::ModelName;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;

use super::report::Report;
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

/// Asks the server for its routes and providers, and to check each provider from where requests
/// leave.
pub(super) async fn check(client: &Client, report: &mut Report) {
    if let Some(routes) = listed::<RouteList>(client, "routes", report).await {
        check_routes(&routes.data, report);
    }
    if let Some(cards) = listed::<RateCardList>(client, "rate-cards", report).await
        && !cards.data.is_empty()
    {
        // Whatever keeps the list back is told elsewhere.
        let models = client.get_all(&["api", "v1", "models"], &[]).await;
        if let Ok(page) = models.and_then(decode::<ModelPage>) {
            let models = page.data.into_iter().map(|model| model.name).collect();
            check_rate_cards(&cards.data, &models, report);
        }
    }
    let Some(providers) = listed::<ProviderList>(client, "providers", report).await else { return };
    let checked = providers.data.iter().map(async |provider| {
        let path = ["api", "v1", "providers", provider.name.as_str(), "check"];
        (provider, client.get(&path, &[]).await.and_then(decode::<ProviderCheck>))
    });
    for (provider, check) in join_all(checked).await {
        judge(provider, check, report);
    }
}

/// A list; none if the key may not read it or the server is older than it.
async fn listed<T: DeserializeOwned>(
    client: &Client,
    what: &str,
    report: &mut Report,
) -> Option<T> {
    match client.get(&["api", "v1", what], &[]).await.and_then(decode) {
        Ok(list) => Some(list),
        // What a key may not do was told above.
        Err(failure) if matches!(failure.kind, Kind::Denied | Kind::NotFound) => None,
        Err(failure) => {
            report.fail(what, failure.error.to_string(), "see the log of the server");
            None
        }
    }
}

fn check_routes(routes: &[RouteBody], report: &mut Report) {
    let mut all_well = true;
    for route in routes {
        let name = &route.name;
        for target in &route.missing_targets {
            all_well = false;
            let change = match route.source {
                Source::Config => {
                    format!("take it out of `routes` in the configuration (`{name}`)")
                }
                Source::Api => format!("name other targets with `diogenes route apply {name}`"),
            };
            report.warn(
                &format!("route `{name}`"),
                format!("its target `{target}` does not exist"),
                format!("add the model or its provider, or {change}"),
            );
        }
    }
    if all_well && !routes.is_empty() {
        let count = match routes.len() {
            1 => "1 route".to_owned(),
            count => format!("{count} routes"),
        };
        report.ok("routes", format!("{count}, whose targets all exist"));
    }
}

fn check_rate_cards(cards: &[RateCardBody], models: &BTreeSet<ModelName>, report: &mut Report) {
    for card in cards.iter().filter(|card| !models.contains(&card.model)) {
        let model = &card.model;
        let next = match card.source {
            Source::Config => format!("add the model, or correct `[rate_cards.\"{model}\"]`"),
            Source::Api => {
                format!("add the model, or delete it with `diogenes prices unset {model}`")
            }
        };
        report.warn(
            &format!("rate card of `{model}`"),
            "no model is registered by this name, so nothing is charged by it",
            next,
        );
    }
}

fn judge(provider: &ProviderBody, check: Result<ProviderCheck, Failure>, report: &mut Report) {
    let name = &provider.name;
    let title = format!("provider `{name}`");
    let next = format!("fix it, then try `diogenes provider check {name}`");
    let check = match check {
        Ok(check) => check,
        // It was deleted meanwhile.
        Err(failure) if failure.kind == Kind::NotFound => return,
        Err(failure) => {
            report.warn(&title, format!("could not be checked: {:#}", failure.error), next);
            return;
        }
    };
    match (check.ok, check.problem) {
        (true, None) => {
            let models = match check.models {
                None => String::new(),
                Some(1) => ", with 1 model".into(),
                Some(models) => format!(", with {models} models"),
            };
            report.ok(&title, format!("answers{models}"));
        }
        // Requests go elsewhere while it fails, and it may be out of order for a moment only.
        (_, problem) => {
            report.warn(&title, problem.unwrap_or_else(|| "does not answer".into()), next);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn route(name: &str, source: &str, missing: &[&str]) -> RouteBody {
        serde_json::from_value(json!({
            "name": name, "source": source, "spec": {"targets": ["old", "kept"]},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "missing_targets": missing,
        }))
        .expect("a route")
    }

    #[test]
    fn each_target_that_nobody_answers_to_is_a_warning() {
        let mut report = Report::default();
        check_routes(&[route("a", "api", &["old"]), route("b", "config", &["old"])], &mut report);
        assert_eq!(
            report.to_string(),
            "! route `a`  its target `old` does not exist\n             → add the model or its \
             provider, or name other targets with `diogenes route apply a`\n\
             ! route `b`  its target `old` does not exist\n             → add the model or its \
             provider, or take it out of `routes` in the configuration (`b`)"
        );
        let mut report = Report::default();
        check_routes(&[route("a", "api", &[])], &mut report);
        assert_eq!(report.to_string(), "✓ routes  1 route, whose targets all exist");
    }

    #[test]
    fn a_rate_card_without_a_model_is_a_warning() {
        let card = |model: &str| {
            let card = json!({
                "model": model, "source": "config", "version": "v1",
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                "price": {"input": "1", "output": "2"},
            });
            serde_json::from_value::<RateCardBody>(card).expect("a rate card")
        };
        let models = BTreeSet::from(["big".parse().expect("a name")]);
        let mut report = Report::default();
        check_rate_cards(&[card("big"), card("bgi")], &models, &mut report);
        assert_eq!(
            report.to_string(),
            "! rate card of `bgi`  no model is registered by this name, so nothing is charged by \
             it\n                      → add the model, or correct `[rate_cards.\"bgi\"]`"
        );
    }

    #[test]
    fn a_provider_that_does_not_answer_or_whose_key_is_missing_is_a_warning() {
        let provider: ProviderBody = serde_json::from_value(json!({
            "name": "openai", "source": "config",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "spec": {"kind": "openai", "base_url": "https://api.openai.com/v1"},
        }))
        .expect("a provider");
        let said = |check: Value| {
            let mut report = Report::default();
            let check = serde_json::from_value(check).expect("a check");
            judge(&provider, Ok(check), &mut report);
            report.to_value()["checks"][0].clone()
        };
        let well = said(json!({"ok": true, "status": 200, "latency_ms": 8, "models": 61}));
        assert_eq!(
            (&well["status"], &well["detail"]),
            (&json!("ok"), &json!("answers, with 61 models"))
        );
        let problem = "its API key cannot be used: the environment variable `KEY` is not set";
        let missing = said(json!({"ok": false, "problem": problem}));
        assert_eq!((&missing["status"], &missing["detail"]), (&json!("warning"), &json!(problem)));
        assert_eq!(missing["next"], "fix it, then try `diogenes provider check openai`");
    }
}
