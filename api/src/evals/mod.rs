//! Runs of evals: [`EvalRunner`], the handler of their jobs, over [`Gateway::walk`](crate::proxy::Gateway::walk).

mod case;
mod load;
mod run;
mod runner;
mod subject;
mod webhooks;

pub use runner::EvalRunner;
pub use webhooks::Webhooks;
