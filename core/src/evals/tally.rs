use serde::{Deserialize, Serialize};

use super::evaluators::EvaluatorSpec;
use super::stats::MAX_UNMEASURED;
use crate::batches::Bill;

/// What the results of a run say, added up as they come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// How many results there are.
    pub completed: u32,
    /// Those that every evaluator lets pass.
    pub passed: u32,
    /// Those that at least one evaluator fails.
    pub failed: u32,
    /// Those that no evaluator fails, and of which at least one cannot tell.
    pub unmeasured: u32,
    /// Those whose subject gave no answer.
    pub errors: u32,
    /// By evaluator, in the order of the run's.
    #[serde(default)]
    pub evaluators: Vec<EvaluatorTally>,
    /// What the answers have used.
    #[serde(default)]
    pub bill: Bill,
    /// What judges have used beside that.
    #[serde(default)]
    pub judge_bill: Bill,
    /// How long the subject took for the answers that there are, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
}

/// What one evaluator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluatorTally {
    pub measured: u32,
    pub unmeasured: u32,
    pub passed: u32,
    /// The sum of the scores that were measured.
    pub score: f64,
}

impl EvaluatorTally {
    /// The mean score; `None` where nothing was measured.
    pub fn mean(&self) -> Option<f64> {
        (self.measured > 0).then(|| self.score / f64::from(self.measured))
    }

    pub fn pass_rate(&self) -> Option<f64> {
        (self.measured > 0).then(|| f64::from(self.passed) / f64::from(self.measured))
    }

    /// The share that was not measured, of what there is.
    pub fn unmeasured_share(&self) -> f64 {
        let all = self.measured + self.unmeasured;
        if all == 0 { 1.0 } else { f64::from(self.unmeasured) / f64::from(all) }
    }
}

/// Whether a run that has completed passes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Gate {
    Passed,
    /// A threshold was not reached.
    BelowThreshold {
        why: String,
    },
    /// Too much is unmeasured.
    Inconclusive {
        why: String,
    },
}

impl Tally {
    /// The mean of the evaluators' scores, by their weights; `None` unless each has measured something.
    pub fn overall(&self, evaluators: &[EvaluatorSpec]) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        if self.evaluators.len() < evaluators.len() {
            return None;
        }
        for (tally, spec) in self.evaluators.iter().zip(evaluators) {
            sum += tally.mean()? * spec.weight;
            weights += spec.weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }

    /// The share of the results that pass, of those that are measured.
    pub fn pass_rate(&self) -> Option<f64> {
        let measured = self.passed + self.failed;
        (measured > 0).then(|| f64::from(self.passed) / f64::from(measured))
    }

    /// The mean of what an answer took, in milliseconds.
    pub fn mean_latency_ms(&self) -> Option<f64> {
        let answered = self.completed.saturating_sub(self.errors);
        (answered > 0).then(|| self.latency_ms as f64 / f64::from(answered))
    }

    /// Whether enough was measured for anything to be said in favour.
    fn suffices(&self) -> bool {
        self.completed > 0
            && self.evaluators.iter().all(|tally| tally.unmeasured_share() <= MAX_UNMEASURED)
    }

    /// Whether these results pass. What is unmeasured counts neither way; where there is much of it, a threshold is
    /// missed only if all of it together could not reach it.
    pub fn gate(
        &self,
        evaluators: &[EvaluatorSpec],
        min_pass_rate: Option<f64>,
        min_score: Option<f64>,
    ) -> Gate {
        let enough = self.suffices();
        let total = f64::from(self.completed.max(1));
        let pass_rate = if enough {
            self.pass_rate()
        } else {
            Some(f64::from(self.passed + self.unmeasured) / total)
        };
        let below = |what: &str, value: f64, least: f64| Gate::BelowThreshold {
            why: format!("the {what} is {value:.3}, below {least}"),
        };
        if let Some((rate, least)) = pass_rate.zip(min_pass_rate)
            && rate < least
        {
            return below("pass rate", rate, least);
        }
        let overall = if enough { self.overall(evaluators) } else { self.best(evaluators) };
        if let Some((score, least)) = overall.zip(min_score)
            && score < least
        {
            return below("overall score", score, least);
        }
        if enough {
            return Gate::Passed;
        }
        let worst = self.evaluators.iter().zip(evaluators).max_by(|(one, _), (other, _)| {
            one.unmeasured_share().total_cmp(&other.unmeasured_share())
        });
        let why = worst.map_or_else(
            || "nothing was measured".to_owned(),
            |(tally, spec)| {
                format!(
                    "`{}` could not measure {} of {} results; at most 2 % may be missing",
                    spec.name(),
                    tally.unmeasured,
                    tally.measured + tally.unmeasured
                )
            },
        );
        Gate::Inconclusive { why }
    }

    /// The overall score if everything that is unmeasured were perfect.
    fn best(&self, evaluators: &[EvaluatorSpec]) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (tally, spec) in self.evaluators.iter().zip(evaluators) {
            let all = f64::from(tally.measured + tally.unmeasured);
            sum += spec.weight * (tally.score + f64::from(tally.unmeasured)) / all.max(1.0);
            weights += spec.weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evals::evaluators::EvaluatorType;

    fn tally(passed: u32, failed: u32, unmeasured: u32) -> Tally {
        let (measured, score) = (passed + failed, f64::from(passed));
        let one = EvaluatorTally { measured, unmeasured, passed, score };
        let completed = measured + unmeasured;
        Tally { completed, passed, failed, unmeasured, evaluators: vec![one], ..Tally::default() }
    }

    #[test]
    fn a_run_passes_only_if_nearly_all_was_measured() {
        let specs = [EvaluatorSpec::of(EvaluatorType::ExactMatch)];
        let gate = |tally: Tally, rate| tally.gate(&specs, rate, None);
        assert_eq!(gate(tally(98, 0, 2), Some(1.0)), Gate::Passed);
        assert_eq!(gate(tally(50, 50, 0), None), Gate::Passed);
        assert!(
            matches!(gate(tally(97, 0, 3), None), Gate::Inconclusive { why } if why.contains("3 of 100"))
        );
        assert!(matches!(gate(tally(50, 50, 0), Some(0.6)), Gate::BelowThreshold { .. }));
        // Even if all the rest had passed.
        assert!(matches!(gate(tally(50, 40, 10), Some(0.7)), Gate::BelowThreshold { .. }));
        assert!(matches!(gate(tally(50, 40, 10), Some(0.6)), Gate::Inconclusive { .. }));
        assert!(matches!(gate(Tally::default(), None), Gate::Inconclusive { .. }));
        let low = tally(50, 50, 0).gate(&specs, None, Some(0.6));
        assert!(
            matches!(low, Gate::BelowThreshold { why } if why.contains("overall score is 0.500"))
        );
    }

    #[test]
    fn weights_decide_how_much_an_evaluator_counts() {
        let spec =
            |weight| EvaluatorSpec { weight, ..EvaluatorSpec::of(EvaluatorType::ExactMatch) };
        let one = |score| EvaluatorTally { measured: 1, unmeasured: 0, passed: 0, score };
        let tally = Tally { evaluators: vec![one(1.0), one(0.0)], ..Tally::default() };
        assert_eq!(tally.overall(&[spec(3.0), spec(1.0)]), Some(0.75));
        let half =
            Tally { evaluators: vec![one(1.0), EvaluatorTally::default()], ..Tally::default() };
        assert_eq!(half.overall(&[spec(1.0), spec(1.0)]), None, "unmeasured is no number");
    }
}
