//! The table: every route, and what it takes to be let in.

use diogenes_core::tenancy::Permission;
use serde_json::{Value, json};

use Permission::{
    AuditRead, BudgetsRead, BudgetsWrite, ClusterLogs, ClusterRead, ClusterScale, GatewayRead,
    GatewayWrite, InferenceUse, JobsRead, JobsWork, JobsWrite, KeysRead, KeysWrite, ModelsRead,
    ModelsWrite, ProjectsRead, ProjectsWrite, QueuesWrite, UsageRead,
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
    Route { body: || fields(&[("model", "absent"), ("file", "x")]), ..inference(path) }
}

fn fields(fields: &[(&str, &str)]) -> Value {
    let part = |(name, value): &(&str, &str)| {
        format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    Value::String(fields.iter().map(part).collect::<String>() + "--limit--\r\n")
}

/// A form with a file for a batch.
fn file() -> Value {
    fields(&[("purpose", "batch"), ("file", "x")])
}

/// What is done with one file, which is not there.
fn files(method: &'static str, path: &'static str) -> Route {
    let request =
        if path.ends_with("content") { "/v1/files/file-0/content" } else { "/v1/files/file-0" };
    Route { request, answer: (404, "file_not_found"), ..control(method, path, InferenceUse) }
}

/// What is done with one upload, which is not there.
fn uploads(path: &'static str, request: &'static str) -> Route {
    Route { request, answer: (404, "upload_not_found"), ..control("POST", path, InferenceUse) }
}

/// What is done with one batch, which is not there.
fn batches(method: &'static str, path: &'static str) -> Route {
    let request =
        if path.ends_with("cancel") { "/v1/batches/batch_0/cancel" } else { "/v1/batches/batch_0" };
    Route { request, answer: (404, "batch_not_found"), ..control(method, path, InferenceUse) }
}

/// What is done with one schedule, which is not there.
fn schedules(method: &'static str, needs: Permission, audit: &'static str) -> Route {
    Route {
        is_of_project: true,
        request: "/api/v1/schedules/absent?project=team-a",
        body: || json!({"paused": true}),
        answer: (404, "schedule_not_found"),
        audit,
        ..control(method, "/api/v1/schedules/{name}", needs)
    }
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

pub(crate) fn control(method: &'static str, path: &'static str, needs: Permission) -> Route {
    Route { method, path, needs: Some(needs), request: path, ..open(path) }
}

/// Every route but those of prompts and datasets, and the permission that it asks for.
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
        Route { needs: Some(InferenceUse), ..open("/v1/files") },
        Route { method: "POST", body: file, answer: (200, ""), ..inference("/v1/files") },
        files("GET", "/v1/files/{id}"),
        files("DELETE", "/v1/files/{id}"),
        files("GET", "/v1/files/{id}/content"),
        Route {
            body: || {
                json!({
                    "bytes": 1, "filename": "x", "mime_type": "text/plain", "purpose": "batch",
                })
            },
            answer: (200, ""),
            ..inference("/v1/uploads")
        },
        Route { body: file, ..uploads("/v1/uploads/{id}/parts", "/v1/uploads/upload_0/parts") },
        Route {
            body: || json!({"part_ids": []}),
            ..uploads("/v1/uploads/{id}/complete", "/v1/uploads/upload_0/complete")
        },
        uploads("/v1/uploads/{id}/cancel", "/v1/uploads/upload_0/cancel"),
        Route { needs: Some(InferenceUse), ..open("/v1/batches") },
        Route {
            body: || {
                json!({
                    "input_file_id": "file-0",
                    "endpoint": "/v1/embeddings",
                    "completion_window": "24h",
                })
            },
            answer: (400, "invalid_request"),
            ..inference("/v1/batches")
        },
        batches("GET", "/v1/batches/{id}"),
        batches("POST", "/v1/batches/{id}/cancel"),
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
            request: "/api/v1/jobs?project=team-a",
            ..control("GET", "/api/v1/jobs", JobsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/jobs?project=team-a",
            body: || json!({"kind": "http", "arguments": {"url": "https://example.com"}}),
            answer: (201, ""),
            audit: "job.create",
            ..control("POST", "/api/v1/jobs", JobsWrite)
        },
        control("GET", "/api/v1/jobs/templates", JobsRead),
        Route {
            is_of_project: true,
            request: "/api/v1/jobs/{job}?project=team-a",
            ..control("GET", "/api/v1/jobs/{id}", JobsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/jobs/{job}/logs?project=team-a",
            ..control("GET", "/api/v1/jobs/{id}/logs", JobsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/jobs/{job}/cancel?project=team-a",
            audit: "job.cancel",
            ..control("POST", "/api/v1/jobs/{id}/cancel", JobsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/jobs/{job}/retry?project=team-a",
            // It waits.
            answer: (409, "conflict"),
            audit: "job.retry",
            ..control("POST", "/api/v1/jobs/{id}/retry", JobsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/schedules?project=team-a",
            ..control("GET", "/api/v1/schedules", JobsRead)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/schedules/nightly?project=team-a",
            body: || {
                let job = json!({"kind": "http", "arguments": {"url": "https://example.com"}});
                json!({"cron": "@daily", "job": job})
            },
            audit: "schedule.apply",
            ..control("PUT", "/api/v1/schedules/{name}", JobsWrite)
        },
        Route {
            is_of_project: true,
            request: "/api/v1/webhooks/secret?project=team-a",
            ..control("GET", "/api/v1/webhooks/secret", JobsWrite)
        },
        schedules("GET", JobsRead, ""),
        schedules("PATCH", JobsWrite, "schedule.pause"),
        schedules("DELETE", JobsWrite, "schedule.delete"),
        Route {
            body: || json!({"worker": "w", "queues": ["noop"], "kinds": ["noop"], "most": 1}),
            ..control("POST", "/api/v1/work/claim", JobsWork)
        },
        Route {
            request: "/api/v1/work/jobs/{job}/beat",
            body: || json!({"claim": "0".repeat(32)}),
            // Nobody has it, or it is another project's.
            answer: (409, "conflict"),
            ..control("POST", "/api/v1/work/jobs/{id}/beat", JobsWork)
        },
        Route {
            request: "/api/v1/work/jobs/{job}/finish",
            body: || json!({"claim": "0".repeat(32), "outcome": {"is": "released"}}),
            answer: (409, "conflict"),
            ..control("POST", "/api/v1/work/jobs/{id}/finish", JobsWork)
        },
        control("GET", "/api/v1/queues", JobsRead),
        Route {
            request: "/api/v1/queues/batch",
            body: || json!({"paused": true}),
            audit: "queue.pause",
            ..control("PATCH", "/api/v1/queues/{name}", QueuesWrite)
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
        Route {
            answer: (404, "not_found"),
            ..control("GET", "/api/v1/prices/imported", GatewayRead)
        },
        Route {
            body: || json!({"source": "ours", "date": "2026-11-27", "providers": {}}),
            answer: (201, ""),
            audit: "prices.import",
            ..control("PUT", "/api/v1/prices/imported", GatewayWrite)
        },
        Route {
            answer: (404, "not_found"),
            audit: "prices.delete",
            ..control("DELETE", "/api/v1/prices/imported", GatewayWrite)
        },
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
