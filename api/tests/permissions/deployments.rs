//! Deployments: what there is of them, and their part of the table.

use std::sync::Arc;

use diogenes_api::control::{DeploymentsArea, Entrance};
use diogenes_core::deployments::Deployments;
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::prompts::{LabelMove, NewVersion, Prompts, Selector};
use diogenes_core::tenancy::{Allowed, Permission};
use diogenes_core::testing::SeededEntropy;
use serde_json::{Value, json};

use Permission::{DeploymentsApprove, DeploymentsRead, DeploymentsWrite};

use super::table::{Route, control};

/// With the prompt `rolled` of `team-a`, whose label `staging` is at the first of two versions.
pub(crate) async fn fixture(
    entrance: Entrance,
    store: &Arc<dyn StateStore>,
    clock: &Arc<dyn Clock>,
    prompts: &Prompts,
) -> DeploymentsArea {
    let (by, project) = (Allowed::operator(), "team-a".parse().unwrap());
    for text in ["Hello", "Good day"] {
        let messages = json!({"messages": [{"role": "user", "content": text}]});
        let content = serde_json::from_value(messages).unwrap();
        let new = NewVersion { content, ..NewVersion::default() };
        prompts.push(&by, &project, "rolled", new).await.unwrap();
    }
    let label = LabelMove {
        label: "staging".parse().unwrap(),
        to: Some(Selector::Number(1)),
        from: None,
        reason: String::new(),
    };
    prompts.move_label(&by, &project, "rolled", &label).await.unwrap();
    let entropy = Arc::new(SeededEntropy::new(7));
    let deployments = Deployments::new(store.clone(), prompts.clone(), clock.clone(), entropy);
    DeploymentsArea::new(entrance, deployments)
}

fn wanted() -> Value {
    json!({
        "prompt_id": "rolled", "to_version": 2, "environment": "staging",
        "strategy": {"type": "DEPLOYMENT_TYPE_GRADUAL"},
    })
}

/// What is done with one deployment, which is not there.
fn deployment(
    method: &'static str,
    path: &'static str,
    request: &'static str,
    needs: Permission,
    audit: &'static str,
) -> Route {
    let answer = (404, "deployment_not_found");
    let body = || json!({});
    Route { is_of_project: true, request, answer, body, audit, ..control(method, path, needs) }
}

/// The routes of deployments.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route {
            is_of_project: true,
            request: "/api/v1/deployments?project=team-a",
            ..control("GET", "/api/v1/deployments", DeploymentsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/deployments?project=team-a",
            body: wanted,
            answer: (201, ""),
            audit: "deployment.create",
            ..control("POST", "/api/v1/deployments", DeploymentsWrite)
        },
        deployment(
            "GET",
            "/api/v1/deployments/{id}",
            "/api/v1/deployments/deploy_0?project=team-a",
            DeploymentsRead,
            "",
        ),
        deployment(
            "GET",
            "/api/v1/deployments/{id}/status",
            "/api/v1/deployments/deploy_0/status?project=team-a",
            DeploymentsRead,
            "",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/approve",
            "/api/v1/deployments/deploy_0/approve?project=team-a",
            DeploymentsApprove,
            "deployment.approve",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/promote",
            "/api/v1/deployments/deploy_0/promote?project=team-a",
            DeploymentsApprove,
            "deployment.complete",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/pause",
            "/api/v1/deployments/deploy_0/pause?project=team-a",
            DeploymentsWrite,
            "deployment.pause",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/resume",
            "/api/v1/deployments/deploy_0/resume?project=team-a",
            DeploymentsWrite,
            "deployment.resume",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/cancel",
            "/api/v1/deployments/deploy_0/cancel?project=team-a",
            DeploymentsWrite,
            "deployment.cancel",
        ),
        deployment(
            "POST",
            "/api/v1/deployments/{id}/rollback",
            "/api/v1/deployments/deploy_0/rollback?project=team-a",
            DeploymentsWrite,
            "deployment.roll_back",
        ),
    ]
}
