//! `/api/v1/evals`: runs of evals, their results, and what they say beside each other.

mod area;
mod bodies;
pub(super) mod calibration;
pub(super) mod comparison;
mod create;
pub(super) mod handlers;
pub(super) mod planning;

pub use area::EvalsArea;
pub use bodies::{
    EvalBody, EvalDataset, EvalList, EvalResultBody, EvalResultPage, EvalSubject, EvalSummary,
    EvaluatorList, EvaluatorResultBody, EvaluatorSummary,
};
pub use calibration::{CalibrateEval, CalibrationBody, LabelledExample};
pub use comparison::{ChangedBody, ComparisonPart, EvalComparisonBody, SideBody};
pub use create::CreateEval;
pub use planning::EvalPlanBody;
