//! Between OpenAI's Chat Completions and Anthropic's Messages: requests, whole answers, streams
//! and errors, in both directions.
//!
//! What one API cannot express is an error that names the field, never dropped in silence. The few
//! fields that are left out because no answer depends on them are listed at the head of the
//! readers. JSON whose order or digits can mean something to a model (schemas, the input of tools,
//! numbers) is copied as it is written.

mod answer;
mod fields;
mod request;

pub use answer::{BadAnswer, UNSIGNED, completion_to_message, message_to_completion};
pub use fields::Untranslatable;
pub use request::{ChatTarget, chat_to_messages, messages_to_chat};
