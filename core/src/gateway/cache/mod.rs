//! Answers that are kept, along routes with `cache_ttl`, for requests that are the very same.

mod answer;
mod room;
mod shelf;

pub use answer::{AnswerKey, KeptAnswer, LARGEST_KEPT};
pub use room::{MOST_KEPT, MOST_KEPT_BYTES};
pub use shelf::{AnswerShelf, StandingAnswer};
