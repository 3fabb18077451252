//! Fifth step: an answer on its way to the caller. A plain one is read whole and checked; a stream
//! is passed on as it comes, and watched for its end.

mod answer;
mod held;
mod plain;
mod stream;

pub(crate) use answer::COST;
pub use answer::{Answer, AnswerBody, AnswerStream};

pub(super) use answer::{deliver, open, replay};
