//! The table: every route, and what it takes to be let in.

use diogenes_core::tenancy::Permission;
use serde_json::{Value, json};

use Permission::{
    AuditRead, BudgetsRead, BudgetsWrite, ClusterLogs, ClusterRead, ClusterScale, GatewayRead,
    GatewayWrite, InferenceUse, KeysRead, KeysWrite, ModelsRead, ModelsWrite, ProjectsRead,
    ProjectsWrite, UsageRead,
};

/// A route and what it takes to be let in.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Option<Permission>,
    /// Whether what it names belongs to a project.
    pub(crate) is_of_project: bool,
    /// The request: `{key}` stands for a fresh key of the project `team-a` with a budget in
    /// dollars per day.
    pub(crate) request: &'static str,
    pub(crate) body: fn() -> Value,
    /// The answer to those who are let in. What is not there is 404 with another code than
    /// that of another project's record.
    pub(crate) answer: (u16, &'static str),
    /// The action of the one audit record that it leaves; empty for what changes nothing.
    pub(crate) audit: &'static str,
}

fn nothing() -> Value {
    Value::Null
}

fn inference(path: &'static str) -> Route {
    Route {
        method: "POST",
        path,
        needs: Some(InferenceUse),
        is_of_project: false,
        request: path,
        body: || json!({"model": "absent", "input": "x"}),
        answer: (404, "model_not_found"),
        audit: "",
    }
}

/// An endpoint that takes a form; the body is its text.
fn form(path: &'static str) -> Route {
    let body = || {
        let part = |name: &str, value: &str| {
            format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        Value::String(part("model", "absent") + &part("file", "x") + "--limit--\r\n")
    };
    Route { body, ..inference(path) }
}

fn open(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
        needs: None,
        is_of_project: false,
        request: path,
        body: nothing,
        answer: (200, ""),
        audit: "",
    }
}

fn control(method: &'static str, path: &'static str, needs: Permission) -> Route {
    Route { method, path, needs: Some(needs), request: path, ..open(path) }
}

/// Every route, and the permission that it asks for.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        inference("/v1/chat/completions"),
        inference("/v1/completions"),
        inference("/v1/embeddings"),
        inference("/v1/responses"),
        inference("/v1/messages"),
        inference("/v1/messages/count_tokens"),
        inference("/v1/tokenize"),
        inference("/v1/detokenize"),
        inference("/v1/rerank"),
        inference("/v1/score"),
        form("/v1/audio/transcriptions"),
        form("/v1/audio/translations"),
        inference("/v1/images/generations"),
        form("/v1/images/edits"),
        Route { needs: Some(InferenceUse), ..open("/v1/models") },
        Route {
            needs: Some(InferenceUse),
            request: "/v1/models/absent",
            answer: (404, "model_not_found"),
            ..open("/v1/models/{*id}")
        },
        open("/healthz"),
        open("/health"),
        open("/metrics"),
        open("/api/v1/openapi.json"),
        Route {
            is_of_project: true,
            request: "/api/v1/keys?project=team-a",
            ..control("GET", "/api/v1/keys", KeysRead)
        },
        Route {
            is_of_project: true,
            body: || json!({"email": "new@example.com", "project": "team-a"}),
            answer: (201, ""),
            audit: "key.create",
            ..control("POST", "/api/v1/keys", KeysWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/keys/{key}",
            ..control("GET", "/api/v1/keys/{id}", KeysRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/keys/{key}",
            audit: "key.revoke",
            ..control("DELETE", "/api/v1/keys/{id}", KeysWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/keys/{key}/rotate",
            answer: (201, ""),
            audit: "key.rotate",
            ..control("POST", "/api/v1/keys/{id}/rotate", KeysWrite)
        },
        control("GET", "/api/v1/projects", ProjectsRead),
        Route {
            body: || json!({"id": "fresh"}),
            answer: (201, ""),
            audit: "project.create",
            ..control("POST", "/api/v1/projects", ProjectsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/projects/team-a",
            ..control("GET", "/api/v1/projects/{id}", ProjectsRead)
        },
        Route {
            request: "/api/v1/projects/third/archive",
            audit: "project.archive",
            ..control("POST", "/api/v1/projects/{id}/archive", ProjectsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/budgets?project=team-a",
            ..control("GET", "/api/v1/budgets", BudgetsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/budgets/key/{key}/usd/day",
            ..control("GET", "/api/v1/budgets/{*id}", BudgetsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/budgets/key/{key}/tokens/month",
            body: || json!({"cap": "2M"}),
            answer: (201, ""),
            audit: "budget.set",
            ..control("PUT", "/api/v1/budgets/{*id}", BudgetsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/budgets/key/{key}/usd/day",
            audit: "budget.delete",
            ..control("DELETE", "/api/v1/budgets/{*id}", BudgetsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/audit?project=team-a",
            ..control("GET", "/api/v1/audit", AuditRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/usage?project=team-a",
            ..control("GET", "/api/v1/usage", UsageRead)
        },
        control("GET", "/api/v1/cost", ClusterRead),
        control("GET", "/api/v1/models", ModelsRead),
        Route {
            request: "/api/v1/models/absent",
            answer: (404, "model_not_found"),
            ..control("GET", "/api/v1/models/{*name}", ModelsRead)
        },
        Route {
            request: "/api/v1/models/fresh",
            body: || json!({"command": ["vllm", "--port", "{port}"]}),
            answer: (201, ""),
            audit: "model.apply",
            ..control("PUT", "/api/v1/models/{*name}", ModelsWrite)
        },
        Route {
            request: "/api/v1/models/kept",
            audit: "model.delete",
            ..control("DELETE", "/api/v1/models/{*name}", ModelsWrite)
        },
        control("GET", "/api/v1/routes", GatewayRead),
        Route {
            request: "/api/v1/routes/absent",
            answer: (404, "route_not_found"),
            ..control("GET", "/api/v1/routes/{*name}", GatewayRead)
        },
        Route {
            request: "/api/v1/routes/fresh",
            body: || json!({"targets": ["kept"]}),
            answer: (201, ""),
            audit: "route.apply",
            ..control("PUT", "/api/v1/routes/{*name}", GatewayWrite)
        },
        Route {
            request: "/api/v1/routes/assistant",
            audit: "route.delete",
            ..control("DELETE", "/api/v1/routes/{*name}", GatewayWrite)
        },
        control("GET", "/api/v1/prices", GatewayRead),
        control("GET", "/api/v1/rate-cards", GatewayRead),
        Route {
            request: "/api/v1/rate-cards/absent",
            answer: (404, "rate_card_not_found"),
            ..control("GET", "/api/v1/rate-cards/{*name}", GatewayRead)
        },
        Route {
            request: "/api/v1/rate-cards/kept",
            body: || json!({"version": "1", "price": {"input": "1", "output": "2"}}),
            answer: (201, ""),
            audit: "rate_card.apply",
            ..control("PUT", "/api/v1/rate-cards/{*name}", GatewayWrite)
        },
        Route {
            request: "/api/v1/rate-cards/absent",
            answer: (404, "rate_card_not_found"),
            audit: "rate_card.delete",
            ..control("DELETE", "/api/v1/rate-cards/{*name}", GatewayWrite)
        },
        control("GET", "/api/v1/providers", GatewayRead),
        Route {
            request: "/api/v1/providers/absent",
            answer: (404, "provider_not_found"),
            ..control("GET", "/api/v1/providers/{name}", GatewayRead)
        },
        Route {
            request: "/api/v1/providers/fresh",
            body: || json!({"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}),
            answer: (201, ""),
            audit: "provider.apply",
            ..control("PUT", "/api/v1/providers/{name}", GatewayWrite)
        },
        Route {
            request: "/api/v1/providers/hosted",
            audit: "provider.delete",
            ..control("DELETE", "/api/v1/providers/{name}", GatewayWrite)
        },
        Route {
            request: "/api/v1/providers/absent/check",
            answer: (404, "provider_not_found"),
            ..control("GET", "/api/v1/providers/{name}/check", GatewayRead)
        },
        control("GET", "/api/v1/cluster", ClusterRead),
        Route {
            body: || json!({"model": "kept", "action": "up"}),
            answer: (202, ""),
            audit: "model.up",
            ..control("POST", "/api/v1/cluster/scale", ClusterScale)
        },
        Route {
            request: "/api/v1/cluster/logs?model=absent",
            answer: (404, "model_not_found"),
            ..control("GET", "/api/v1/cluster/logs", ClusterLogs)
        },
    ]
}
