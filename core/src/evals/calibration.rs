//! How good a judge is, held against labels of humans.

use std::collections::{BTreeMap, BTreeSet};

use super::error::EvalError;
use super::evaluators::Scored;
use super::result::EvalResult;
use super::run::EvalRun;
use super::stats::{
    Agreement, Confidence, ConfusionMatrix, CorrectedScore, Interval, corrected_score,
};

/// What a human says of the answer to an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HumanLabel {
    pub example: String,
    pub passed: bool,
}

/// Passes and failures of humans beside those of an evaluator.
#[derive(Debug)]
pub struct Calibration {
    place: usize,
    labels: BTreeMap<String, bool>,
    human: Vec<bool>,
    judged: Vec<bool>,
    /// What the evaluator says of answers that no human has labelled.
    others: Vec<f64>,
    seen: BTreeSet<String>,
    unmeasured: u32,
}

/// How far they agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    pub matrix: ConfusionMatrix,
    pub agreement: Agreement,
    /// The interval of κ.
    pub kappa: Option<Interval>,
    /// The pass rate that humans would have found; none with fewer than three labels.
    pub corrected: Option<CorrectedScore>,
    /// Labels of examples that the run has no result of.
    pub unmatched: Vec<String>,
    /// Labelled answers of which the evaluator could not tell.
    pub unmeasured: u32,
}

impl Calibration {
    /// Begins with labels of the answers of a run.
    ///
    /// # Errors
    /// When the run has no such evaluator, or an example is labelled twice.
    pub fn new(run: &EvalRun, evaluator: &str, labels: Vec<HumanLabel>) -> Result<Self, EvalError> {
        let mut specs = run.config.evaluators.iter();
        let place = specs.position(|spec| spec.name() == evaluator).ok_or_else(|| {
            let names: Vec<_> =
                run.config.evaluators.iter().map(|spec| format!("`{}`", spec.name())).collect();
            EvalError::invalid("evaluator", format!("must be one of {}", names.join(", ")))
        })?;
        if labels.is_empty() {
            return Err(EvalError::invalid("labels", "must not be empty"));
        }
        let mut known = BTreeMap::new();
        for HumanLabel { example, passed } in labels {
            if known.insert(example.clone(), passed).is_some() {
                return Err(EvalError::invalid("labels", format!("has `{example}` twice")));
            }
        }
        Ok(Self {
            place,
            labels: known,
            human: Vec::new(),
            judged: Vec::new(),
            others: Vec::new(),
            seen: BTreeSet::new(),
            unmeasured: 0,
        })
    }

    /// Adds a result of the run. Of repeats the first one counts.
    pub fn add(&mut self, result: &EvalResult) {
        if result.repeat > 0 {
            return;
        }
        let judged = result.verdicts.get(self.place).and_then(Scored::passed);
        match (self.labels.get(&result.example), judged) {
            (Some(human), judged) => {
                self.seen.insert(result.example.clone());
                match judged {
                    Some(judged) => {
                        self.human.push(*human);
                        self.judged.push(judged);
                    }
                    None => self.unmeasured += 1,
                }
            }
            (None, Some(judged)) => self.others.push(f64::from(u8::from(judged))),
            (None, None) => {}
        }
    }

    /// What came of it.
    ///
    /// # Errors
    /// When no label is of an example that was measured.
    pub fn finish(self, confidence: Confidence) -> Result<Calibrated, EvalError> {
        let unmatched: Vec<String> =
            self.labels.keys().filter(|id| !self.seen.contains(*id)).cloned().collect();
        if self.human.is_empty() {
            let problem =
                "name no example that the run has measured; ids look like those of `eval results`";
            return Err(EvalError::invalid("labels", problem));
        }
        let matrix = ConfusionMatrix::of_passes(&self.human, &self.judged)?;
        let numbers = |passes: &[bool]| -> Vec<f64> {
            passes.iter().map(|passed| f64::from(u8::from(*passed))).collect()
        };
        let (human, judged) = (numbers(&self.human), numbers(&self.judged));
        let corrected = (human.len() >= 3)
            .then(|| corrected_score(&human, &judged, &self.others, confidence))
            .transpose()?;
        Ok(Calibrated {
            agreement: matrix.agreement(),
            kappa: matrix.kappa_interval(confidence),
            matrix,
            corrected,
            unmatched,
            unmeasured: self.unmeasured,
        })
    }
}
