//! Evals: whether a candidate does better than a baseline, and how sure that is.
//!
//! An [`EvalRun`] asks a subject, such as a version of a prompt, for an answer to each example of a snapshot of a
//! dataset, and holds the answers against [`evaluators`]. A job does it; what comes of each example is an
//! [`EvalResult`], kept before another one is begun in its place, so that whoever goes on with the run knows which
//! are done, and pays for none twice.
//!
//! - [`evaluators`]: what an answer is held against.
//! - [`stats`]: the statistics behind `plan`, `compare` and `calibrate`.

mod calibration;
mod comparing;
mod comparison;
mod dataset_examples;
mod error;
pub mod evaluators;
mod examples;
mod headline;
mod new_eval;
mod pin;
mod plan;
mod result;
mod run;
mod sample;
mod service;
pub mod stats;
mod tally;

pub use calibration::{Calibrated, Calibration, HumanLabel};
pub use comparing::BothRuns;
pub use comparison::{Part, Row, RunComparison, Scores, Shared, compare_runs};
pub use dataset_examples::DatasetExamples;
pub use error::EvalError;
pub use examples::{EvalExample, ExampleReader, ExampleSource};
pub use headline::Changed;
pub use new_eval::{
    LONGEST_CASE, MAX_EVAL_NAME, MOST_ATTEMPTS, MOST_CASES, MOST_CONCURRENCY, MOST_REPEATS, NewEval,
};
pub use pin::DatasetPin;
pub use plan::{EvalPlan, Needed, Spending};
pub use result::{EvalResult, Standing};
pub use run::{EVAL_LIFE, EvalConfig, EvalId, EvalRun, EvalStatus, Subject};
pub use service::{Draft, EvalPage, Evals, ResultPage};
pub use tally::{EvaluatorTally, Gate, Tally};

#[cfg(test)]
mod tests;
