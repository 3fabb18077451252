use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::evals::{EvalPlan, EvalStatus, NewEval, Spending};
use diogenes_core::money::Dollars;
use diogenes_core::ports::Amount;
use diogenes_core::tenancy::{Allowed, may};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::area::{EvalsArea, eval_error};
use super::bodies::{EvalDataset, EvalSubject};
use super::create::CreateEval;
use crate::control::extract::{Allow, JsonBody, QueryString};
use crate::error::{ApiError, ErrorBody};

/// How many of the newest runs are looked at for one of the same subject.
const LOOKED_AT: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct PlanEval {
    /// The share of examples on which two runs differ, above 0 and at most 1; 0.2 when absent. With evaluators that
    /// grade it is the standard deviation of the differences of scores; 0.3 when absent.
    assumed: Option<f64>,
}

/// What a run takes, and what a comparison of it can show.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalPlanBody {
    pub subject: EvalSubject,
    pub dataset: EvalDataset,
    #[serde(flatten)]
    pub plan: EvalPlan,
    /// By the newest run of the same model or prompt.
    pub spending: Spending,
    pub warnings: Vec<String>,
}

/// Tell what a run would take, and which differences it could show. Nobody is asked, and nothing is kept.
#[utoipa::path(post, path = "/api/v1/evals/plan", request_body = CreateEval, tag = "evals",
    params(PlanEval),
    responses((status = 200, body = EvalPlanBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn plan(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    QueryString(query): QueryString<PlanEval>,
    JsonBody(body): JsonBody<CreateEval>,
) -> Result<Json<EvalPlanBody>, ApiError> {
    let draft = area.draft(&by, NewEval::try_from(body)?).await?;
    let plan = EvalPlan::of(&draft, query.assumed)
        .map_err(|error| eval_error(&error.into()).param("assumed"))?;
    let spending = spending(&area, &by, &draft).await?;
    let dataset = draft.config.dataset;
    Ok(Json(EvalPlanBody {
        subject: (&draft.config.subject).into(),
        dataset: EvalDataset {
            name: dataset.name,
            version: dataset.version,
            digest: dataset.digest,
            examples: dataset.examples,
        },
        plan,
        spending,
        warnings: draft.warnings,
    }))
}

/// What the newest run like it has spent for each of its results.
async fn spending(
    area: &EvalsArea,
    by: &Allowed<may::EvalsRead>,
    draft: &diogenes_core::evals::Draft,
) -> Result<Spending, ApiError> {
    let page = area.evals.list(by, &by.project, LOOKED_AT, None).await;
    let page = page.map_err(|error| eval_error(&error))?;
    let is_like = |run: &&diogenes_core::evals::EvalRun| {
        let (config, wanted) = (&run.config, &draft.config);
        let judges = |config: &diogenes_core::evals::EvalConfig| {
            let specs = config.evaluators.iter();
            specs.map(|spec| (spec.kind, spec.params.get("model").cloned())).collect::<Vec<_>>()
        };
        let prompt = |subject: &diogenes_core::evals::Subject| EvalSubject::from(subject).prompt;
        run.status == EvalStatus::Completed
            && run.tally.completed > run.tally.errors
            && config.subject.model() == wanted.subject.model()
            && prompt(&config.subject) == prompt(&wanted.subject)
            && judges(config) == judges(wanted)
    };
    let Some(run) = page.runs.iter().find(is_like) else { return Ok(Spending::default()) };
    let results = run.tally.completed - run.tally.errors;
    let scaled = |amount: u64| {
        let scaled = u128::from(amount) * u128::from(draft.total) / u128::from(results);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let bill = run.tally.bill.plus(run.tally.judge_bill);
    let took = run.started_at.zip(run.ended_at);
    let took = took.map(|(from, to)| diogenes_core::fleet::eta::since(from, to).as_secs());
    Ok(Spending {
        results,
        cost_usd: bill.cost.map(|cost| Dollars(Amount::saturating(scaled(cost.get()))).decimal()),
        tokens: Some(scaled(bill.input.saturating_add(bill.output))),
        seconds: took.map(scaled),
    })
}
