use super::case::Case;
use super::catalog::EvaluatorType;
use super::judge::Judge;
use super::pattern::Pattern;
use super::schema::Schema;
use super::scored::Scored;
use super::similarity::Similarity;
use super::spec::{EvaluatorProblem, EvaluatorSpec, MOST_EVALUATORS, read_params};
use super::text::{Contains, ExactMatch};
use super::webhook::Webhook;

/// An evaluator, ready to score.
#[derive(Debug)]
pub struct Evaluator {
    spec: EvaluatorSpec,
    check: Check,
}

/// How an evaluator comes to its verdict.
#[derive(Debug)]
pub enum Check {
    /// By itself.
    Plain(PlainCheck),
    /// By asking a model.
    Judge(Judge),
    /// By asking for embeddings.
    Similarity(Similarity),
    /// By asking a service.
    Webhook(Webhook),
}

/// A check that needs nobody else.
#[derive(Debug)]
pub struct PlainCheck(Plain);

#[derive(Debug)]
enum Plain {
    ExactMatch(ExactMatch),
    Contains(Contains),
    Pattern(Pattern),
    Schema(Box<Schema>),
}

impl PlainCheck {
    /// What it says of an answer.
    pub fn score(&self, case: &Case<'_>) -> Scored {
        match &self.0 {
            Plain::ExactMatch(check) => check.score(case),
            Plain::Contains(check) => check.score(case),
            Plain::Pattern(check) => check.score(case),
            Plain::Schema(check) => check.score(case),
        }
    }
}

impl Evaluator {
    /// Checks what somebody wrote, and prepares it.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(spec: &EvaluatorSpec) -> Result<Self, EvaluatorProblem> {
        if let Some(problem) = spec.problem() {
            return Err(problem);
        }
        let params = &spec.params;
        let plain = |check| Check::Plain(PlainCheck(check));
        let check = match spec.kind {
            EvaluatorType::ExactMatch => plain(Plain::ExactMatch(read_params(params)?)),
            EvaluatorType::Contains => {
                let check: Contains = read_params(params)?;
                if let Some(problem) = check.problem() {
                    return Err(problem);
                }
                plain(Plain::Contains(check))
            }
            EvaluatorType::Regex => plain(Plain::Pattern(Pattern::new(&read_params(params)?)?)),
            EvaluatorType::JsonSchema => {
                plain(Plain::Schema(Box::new(Schema::new(&read_params(params)?)?)))
            }
            EvaluatorType::SemanticSimilarity => Check::Similarity(Similarity::new(params)?),
            EvaluatorType::LlmJudge => Check::Judge(Judge::new(params)?),
            EvaluatorType::Webhook => Check::Webhook(Webhook::new(params)?),
        };
        Ok(Self { spec: spec.clone(), check })
    }

    /// Prepares those of a run.
    ///
    /// # Errors
    /// What is wrong with one, with its place: `evaluators[1].params.pattern`.
    pub fn all(specs: &[EvaluatorSpec]) -> Result<Vec<Self>, EvaluatorProblem> {
        if !(1..=MOST_EVALUATORS).contains(&specs.len()) {
            let text = format!("must be 1 to {MOST_EVALUATORS}");
            return Err(EvaluatorProblem::new("evaluators", text));
        }
        let mut all: Vec<Self> = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let place = format!("evaluators[{index}]");
            let evaluator = Self::new(spec).map_err(|problem| problem.within(&place))?;
            if all.iter().any(|other| other.name() == evaluator.name()) {
                let text =
                    format!("`{}` is another evaluator's; give each its own", evaluator.name());
                return Err(EvaluatorProblem::new(format!("{place}.name"), text));
            }
            all.push(evaluator);
        }
        Ok(all)
    }

    pub fn spec(&self) -> &EvaluatorSpec {
        &self.spec
    }

    pub fn name(&self) -> &str {
        self.spec.name()
    }

    pub fn check(&self) -> &Check {
        &self.check
    }
}
