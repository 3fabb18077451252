//! Evaluators: what an answer is held against, and what came of it.
//!
//! An [`EvaluatorSpec`] is what callers write. [`Evaluator::new`] checks it and prepares what it needs once for all
//! answers of a run. Those that need nobody else score at once ([`PlainCheck::score`]); of the others, such as the
//! [`Judge`], here is what to ask and how to read the answer.

mod case;
mod catalog;
mod evaluator;
mod judge;
mod normalization;
mod pattern;
mod schema;
mod scored;
mod similarity;
mod spec;
mod text;
mod webhook;

pub use case::Case;
pub use catalog::{EvaluatorType, EvaluatorTypeInfo, ParamInfo};
pub use evaluator::{Check, Evaluator, PlainCheck};
pub use judge::{Judge, Question, Scale, TEMPLATE as JUDGE_TEMPLATE};
pub use normalization::Normalization;
pub use scored::Scored;
pub(super) use scored::beginning;
pub use similarity::{Similarity, similarity_of};
pub use spec::{EvaluatorProblem, EvaluatorSpec, MAX_EVALUATOR_NAME, MOST_EVALUATORS};
pub use webhook::Webhook;

#[cfg(test)]
mod tests;
