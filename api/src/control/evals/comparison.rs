use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::evals::stats::{
    Comparison, Confidence, Criteria, Margin, Method, Reason, Resampling, Verdict, Warning,
};
use diogenes_core::evals::{BothRuns, Changed, EvalError, EvalRun, Evals, Part, compare_runs};
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::area::{EvalsArea, eval_error};
use super::bodies::{EvalBody, EvalResultBody};
use crate::control::extract::{Allow, PathOf, QueryString};
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// How many changed examples are shown with both answers.
const MOST_SHOWN: usize = 100;
const USUAL_SHOWN: usize = 20;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct CompareEvals {
    /// The runs' project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// The run that is there already.
    #[param(pattern = "^eval_[0-9a-f]{32}$")]
    baseline: String,
    /// A loss that does not matter, 0 to 1: 0.02 is two points of the pass rate. 0 when absent.
    #[param(minimum = 0, maximum = 1)]
    margin: Option<f64>,
    /// How sure the verdict has to be, above 0.5 and below 1; 0.95 when absent.
    #[param(minimum = 0.6, maximum = 0.9999)]
    confidence: Option<f64>,
    /// How many changed examples to show, the worst first, 0 to 100; 20 when absent.
    #[param(minimum = 0, maximum = 100)]
    changed: Option<usize>,
}

/// Two runs beside each other.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalComparisonBody {
    /// `improved`, `regressed`, `no_worse` or `inconclusive`.
    pub verdict: String,
    /// Whether it is better, and how sure that is, in two sentences.
    pub headline: Vec<String>,
    pub baseline: EvalBody,
    pub candidate: EvalBody,
    pub overall: ComparisonPart,
    pub evaluators: Vec<ComparisonPart>,
    /// Examples with a tag, of at least ten, the worst first.
    pub tags: Vec<ComparisonPart>,
    /// Examples of a cluster, of at least ten, the worst first.
    pub clusters: Vec<ComparisonPart>,
    /// How many examples of which both runs have a result got better, and worse.
    pub better_count: usize,
    pub worse_count: usize,
    /// The examples that changed, the worst first.
    pub changed: Vec<ChangedBody>,
    pub warnings: Vec<String>,
}

/// What a part of the results says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparisonPart {
    /// An evaluator, a tag or a cluster; `overall` for everything.
    pub name: String,
    pub verdict: String,
    /// Why it is inconclusive: `too_wide`, `unmeasured`, `too_few` or `one_of_many`.
    pub reason: Option<String>,
    /// About how many examples would decide.
    pub examples_needed: Option<u64>,
    /// The mean score, or the pass rate, of the examples that were measured on both sides.
    pub baseline: f64,
    pub candidate: f64,
    pub difference: f64,
    pub lower: f64,
    pub upper: f64,
    pub confidence: f64,
    /// One-sided: small where the candidate is worse by more than chance explains.
    pub p_worse: f64,
    pub examples: u64,
    pub unmeasured: u64,
    /// `tango`, `bootstrap` or `clustered`.
    pub method: String,
    pub warnings: Vec<String>,
}

impl ComparisonPart {
    fn of(name: &str, comparison: &Comparison) -> Self {
        let (reason, examples_needed) = match comparison.verdict {
            Verdict::Improved | Verdict::NoWorse | Verdict::Regressed => (None, None),
            Verdict::Inconclusive(reason) => match reason {
                Reason::TooWide { examples_needed } => (Some("too_wide"), examples_needed),
                Reason::Unmeasured => (Some("unmeasured"), None),
                Reason::TooFew => (Some("too_few"), None),
                Reason::OneOfMany => (Some("one_of_many"), None),
            },
        };
        let warnings = comparison.warnings.iter().map(|warning| match warning {
            Warning::Unmeasured => "unmeasured",
            Warning::FewExamples => "few_examples",
            Warning::FewClusters => "few_clusters",
            Warning::NoVariation => "no_variation",
            Warning::PlainPercentiles => "plain_percentiles",
        });
        Self {
            name: name.to_owned(),
            verdict: word(comparison.verdict).into(),
            reason: reason.map(str::to_owned),
            examples_needed,
            baseline: comparison.baseline,
            candidate: comparison.candidate,
            difference: comparison.difference,
            lower: comparison.interval.lower(),
            upper: comparison.interval.upper(),
            confidence: comparison.confidence.level(),
            p_worse: comparison.p_worse,
            examples: comparison.examples,
            unmeasured: comparison.coverage.pairs.unmeasured,
            method: match comparison.method {
                Method::Tango { .. } => "tango",
                Method::Bootstrap(_) => "bootstrap",
                Method::Clustered { .. } => "clustered",
            }
            .into(),
            warnings: warnings.map(str::to_owned).collect(),
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improved => "improved",
        Verdict::NoWorse => "no_worse",
        Verdict::Regressed => "regressed",
        Verdict::Inconclusive(_) => "inconclusive",
    }
}

/// An example of which the runs say different things.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedBody {
    pub example_id: String,
    pub position: u32,
    pub input: Value,
    pub expected_output: Option<Value>,
    /// Candidate less baseline.
    pub difference: f64,
    pub baseline: SideBody,
    pub candidate: SideBody,
}

/// What one run says of an example.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SideBody {
    /// The mean over its repeats.
    pub score: f64,
    /// The answer to the first of them.
    pub answer: Option<String>,
    /// Why it did not pass.
    pub explanation: String,
}

/// Compare a run with another one on the same snapshot, example by example.
#[utoipa::path(get, path = "/api/v1/evals/{id}/compare", tag = "evals",
    params(CompareEvals, ("id" = String, Path, description = "the id of the candidate")),
    responses((status = 200, body = EvalComparisonBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn compare(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<CompareEvals>,
) -> Result<Json<EvalComparisonBody>, ApiError> {
    let shown = query.changed.unwrap_or(USUAL_SHOWN);
    if shown > MOST_SHOWN {
        let problem = format!("`changed` must be at most {MOST_SHOWN}");
        return Err(ApiError::new(ErrorKind::InvalidRequest, problem).param("changed"));
    }
    let told = |error: EvalError| eval_error(&error);
    let confidence = query.confidence.map_or(Ok(Confidence::USUAL), Confidence::new);
    let margin = Margin::new(query.margin.unwrap_or_default());
    let criteria = Criteria {
        confidence: confidence.map_err(|error| told(error.into()).param("confidence"))?,
        margin: margin.map_err(|error| told(error.into()).param("margin"))?,
        resampling: Resampling::usual(0),
    };
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let both = area.evals.both(&by, &project, &query.baseline, &id).await.map_err(told)?;
    let BothRuns { baseline, candidate, shared, rows, warnings } = both;
    let runs = (baseline.clone(), candidate.clone());
    // Resampling takes a second for many examples.
    let compared = tokio::task::spawn_blocking(move || {
        compare_runs((&runs.0, &runs.1), &shared, &rows, &criteria, warnings)
    });
    let compared = compared.await.map_err(|error| ApiError::internal(&error))?.map_err(told)?;
    let better = compared.changed.iter().filter(|it| it.candidate > it.baseline).count();
    let worst: Vec<Changed> = compared.changed.iter().copied().take(shown).collect();
    let changed = details(&area.evals, [&baseline, &candidate], &worst).await?;
    let parts = |parts: &[Part]| -> Vec<ComparisonPart> {
        parts.iter().map(|part| ComparisonPart::of(&part.name, &part.comparison)).collect()
    };
    Ok(Json(EvalComparisonBody {
        verdict: word(compared.verdict).into(),
        headline: compared.headline.into(),
        baseline: baseline.into(),
        candidate: candidate.into(),
        overall: ComparisonPart::of("overall", &compared.overall),
        evaluators: parts(&compared.evaluators),
        tags: parts(&compared.tags),
        clusters: parts(&compared.clusters),
        better_count: better,
        worse_count: compared.changed.len() - better,
        changed,
        warnings: compared.warnings,
    }))
}

/// The changed examples, with what both runs answered.
async fn details(
    evals: &Evals,
    runs: [&EvalRun; 2],
    changed: &[Changed],
) -> Result<Vec<ChangedBody>, ApiError> {
    let mut bodies = Vec::with_capacity(changed.len());
    for example in changed {
        let first = async |run: &EvalRun| {
            let result = evals.first_result(run, example.position).await;
            let result = result.map_err(|error| eval_error(&error))?;
            Ok::<_, ApiError>(result.map(|result| EvalResultBody::of(run, result)))
        };
        let [baseline, candidate] = runs;
        let (one, other) = (first(baseline).await?, first(candidate).await?);
        let side = |result: Option<&EvalResultBody>, score: f64| SideBody {
            score,
            answer: result.and_then(|result| result.actual_output.clone()),
            explanation: result.map(why).unwrap_or_default(),
        };
        let of_either = other.as_ref().or(one.as_ref());
        bodies.push(ChangedBody {
            example_id: of_either.map(|result| result.example_id.clone()).unwrap_or_default(),
            position: example.position,
            input: of_either.map(|result| result.input.clone()).unwrap_or_default(),
            expected_output: of_either.and_then(|result| result.expected_output.clone()),
            difference: example.candidate - example.baseline,
            baseline: side(one.as_ref(), example.baseline),
            candidate: side(other.as_ref(), example.candidate),
        });
    }
    Ok(bodies)
}

/// What the evaluators say against an answer.
fn why(result: &EvalResultBody) -> String {
    let told: Vec<String> = result
        .evaluator_results
        .iter()
        .filter(|it| it.passed != Some(true) && !it.explanation.is_empty())
        .map(|it| format!("{}: {}", it.name, it.explanation))
        .collect();
    told.join("; ")
}
