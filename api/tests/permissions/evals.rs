//! Evals: what there is of them, and their part of the table.

use std::sync::Arc;

use diogenes_core::evals::{EvalExample, Evals};
use diogenes_core::jobs::Jobs;
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::prompts::Prompts;
use diogenes_core::tenancy::Permission;
use diogenes_core::testing::{MemoryExamples, SeededEntropy};
use serde_json::{Value, json};

use Permission::{EvalsRead, EvalsWrite};

use super::table::{Route, control};

/// With the dataset `golden` of one example.
pub(crate) fn fixture(
    store: &Arc<dyn StateStore>,
    clock: &Arc<dyn Clock>,
    jobs: &Jobs,
    prompts: &Prompts,
) -> Evals {
    let examples = MemoryExamples::default();
    let example = EvalExample { id: "ex_1".into(), input: "x".into(), ..EvalExample::default() };
    examples.put("golden", vec![example]);
    let entropy = Arc::new(SeededEntropy::new(6));
    let examples = Arc::new(examples);
    Evals::new(store.clone(), jobs.clone(), prompts.clone(), examples, clock.clone(), entropy)
}

fn wanted() -> Value {
    json!({"model": "kept", "dataset": "golden", "evaluators": [{"type": "exact_match"}]})
}

/// What is done with one run, which is not there.
fn run(method: &'static str, path: &'static str, request: &'static str) -> Route {
    let needs = if method == "GET" { EvalsRead } else { EvalsWrite };
    let answer = (404, "eval_not_found");
    Route { is_of_project: true, request, answer, ..control(method, path, needs) }
}

/// The routes of evals.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route {
            is_of_project: true,
            request: "/api/v1/evals?project=team-a",
            ..control("GET", "/api/v1/evals", EvalsRead)
        },
        Route {
            // Whoever may create runs only asks no models.
            body: wanted,
            answer: (403, "insufficient_scope"),
            audit: "eval.create",
            ..control("POST", "/api/v1/evals", EvalsWrite)
        },
        Route { body: wanted, ..control("POST", "/api/v1/evals/plan", EvalsRead) },
        control("GET", "/api/v1/evals/evaluators", EvalsRead),
        run("GET", "/api/v1/evals/{id}", "/api/v1/evals/eval_0?project=team-a"),
        Route {
            audit: "eval.cancel",
            ..run("POST", "/api/v1/evals/{id}/cancel", "/api/v1/evals/eval_0/cancel?project=team-a")
        },
        Route {
            needs: Some(EvalsRead),
            body: || json!({"evaluator": "exact_match", "labels": []}),
            ..run(
                "POST",
                "/api/v1/evals/{id}/calibrate",
                "/api/v1/evals/eval_0/calibrate?project=team-a",
            )
        },
        run("GET", "/api/v1/evals/{id}/results", "/api/v1/evals/eval_0/results?project=team-a"),
        run(
            "GET",
            "/api/v1/evals/{id}/compare",
            "/api/v1/evals/eval_0/compare?baseline=eval_1&project=team-a",
        ),
    ]
}
