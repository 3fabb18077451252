//! Prompts: what there is of them, and their part of the table.

use std::sync::Arc;

use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::prompts::{
    LabelMove, NewVersion, PromptStatus, PromptUpdate, Prompts, Selector,
};
use diogenes_core::tenancy::{Allowed, Permission};
use diogenes_core::testing::SeededEntropy;
use serde_json::json;

use Permission::{PromptsRead, PromptsWrite};

use super::table::{Route, control};

/// With the prompts `greeting`, whose label `staging` stands, and `old`, which is archived, of `team-a`.
pub(crate) async fn fixture(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Prompts {
    let prompts = Prompts::new(store, clock, Arc::new(SeededEntropy::new(5)));
    let (by, project) = (Allowed::operator(), "team-a".parse().unwrap());
    for slug in ["greeting", "old"] {
        let messages = json!({"messages": [{"role": "user", "content": "Hello"}]});
        let content = serde_json::from_value(messages).unwrap();
        let new = NewVersion { content, ..NewVersion::default() };
        prompts.push(&by, &project, slug, new).await.unwrap();
    }
    let label = LabelMove {
        label: "staging".parse().unwrap(),
        to: Some(Selector::Latest),
        from: None,
        reason: String::new(),
    };
    prompts.move_label(&by, &project, "greeting", &label).await.unwrap();
    let archived = PromptUpdate { status: Some(PromptStatus::Archived), ..PromptUpdate::default() };
    prompts.update(&by, &project, "old", &archived).await.unwrap();
    prompts
}

/// What is done with a prompt of the project `team-a`.
fn prompts(method: &'static str, path: &'static str, request: &'static str) -> Route {
    let needs = if method == "GET" { PromptsRead } else { PromptsWrite };
    Route { is_of_project: true, request, ..control(method, path, needs) }
}

/// The routes of prompts.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        prompts("GET", "/api/v1/prompts", "/api/v1/prompts?project=team-a"),
        prompts("GET", "/api/v1/prompts/{prompt}", "/api/v1/prompts/greeting?project=team-a"),
        Route {
            body: || json!({"description": "new"}),
            audit: "prompt.update",
            ..prompts(
                "PATCH",
                "/api/v1/prompts/{prompt}",
                "/api/v1/prompts/greeting?project=team-a",
            )
        },
        Route {
            audit: "prompt.delete",
            ..prompts("DELETE", "/api/v1/prompts/{prompt}", "/api/v1/prompts/old?project=team-a")
        },
        prompts(
            "GET",
            "/api/v1/prompts/{prompt}/versions",
            "/api/v1/prompts/greeting/versions?project=team-a",
        ),
        Route {
            body: || json!({"messages": [{"role": "user", "content": "Hi"}]}),
            answer: (201, ""),
            audit: "prompt.push",
            ..prompts(
                "POST",
                "/api/v1/prompts/{prompt}/versions",
                "/api/v1/prompts/greeting/versions?project=team-a",
            )
        },
        prompts(
            "GET",
            "/api/v1/prompts/{prompt}/versions/{version}",
            "/api/v1/prompts/greeting/versions/v1?project=team-a",
        ),
        Route {
            needs: Some(PromptsRead),
            ..prompts(
                "POST",
                "/api/v1/prompts/{prompt}/versions/{version}/render",
                "/api/v1/prompts/greeting/versions/latest/render?project=team-a",
            )
        },
        prompts(
            "GET",
            "/api/v1/prompts/{prompt}/compare",
            "/api/v1/prompts/greeting/compare?from=v1&to=latest&project=team-a",
        ),
        Route {
            body: || json!({"version": "v1"}),
            audit: "prompt.label",
            ..prompts(
                "PUT",
                "/api/v1/prompts/{prompt}/labels/{label}",
                "/api/v1/prompts/greeting/labels/trial?project=team-a",
            )
        },
        Route {
            audit: "prompt.unlabel",
            ..prompts(
                "DELETE",
                "/api/v1/prompts/{prompt}/labels/{label}",
                "/api/v1/prompts/greeting/labels/staging?project=team-a",
            )
        },
    ]
}
