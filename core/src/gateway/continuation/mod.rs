//! Continues a stream whose replica died in the middle on another replica of the same model, so
//! that its caller sees one stream: exact, or not at all. Pure.
//!
//! A [`Request`] that can be continued is armed: it asks the replica to tell the ids of its tokens
//! beside their text. A [`Splice`] takes the events of the stream, takes out again what the caller
//! has not asked for, and keeps account of what was delivered. After a cut it says what to ask
//! another replica, and holds its answer against what is known: the prompt there must be the first
//! one's, token by token, with what was generated behind it. A continuation of greedy decoding is
//! then what would have come; one of sampling is as good a sample.
//!
//! The fields are vLLM's: `return_token_ids` brings `prompt_token_ids` with the first chunk and
//! `token_ids` in every choice; `stream_options.continuous_usage_stats` brings `usage` with every
//! chunk; `continue_final_message` continues the last message.

mod chunk;
mod fields;
mod ledger;
mod lost;
mod request;
mod splice;
#[cfg(test)]
mod tests;

pub use lost::Lost;
pub use request::{Kind, Request, Unfit};
pub use splice::{Asked, Cut, Inexact, Splice, Took};
