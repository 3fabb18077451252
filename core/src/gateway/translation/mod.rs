//! Between OpenAI's Chat Completions and Anthropic's Messages: requests, whole answers, streams
//! and errors, in both directions.
//!
//! What one API cannot express is an error that names the field, never dropped in silence. JSON
//! whose order or digits can mean something to a model (schemas, the input of tools, numbers) is
//! copied as it is written.
//!
//! Left out on purpose, because no answer depends on it or nobody else could use it:
//!
//! | of Messages | why |
//! | --- | --- |
//! | `cache_control`, `service_tier`, a tool's `eager_input_streaming` | for Anthropic's servers |
//! | a system block that begins with `x-anthropic-billing-header` | differs from request to request, and so spoils prefix caches |
//! | `context_management` with `clear_thinking_…` edits alone | engines leave old thinking out by themselves |
//! | `thinking.display`, a thinking budget where the target takes none | a wish; `max_tokens` bounds it |
//! | signatures, `redacted_thinking`; thinking too at a target without reasoning | only Anthropic can read them |
//! | `citations` of an answer, `caller` of a call | come with tools that are refused in requests |
//!
//! | of Chat Completions | why |
//! | --- | --- |
//! | `metadata`, `prompt_cache_…`, a part's `prompt_cache_breakpoint` | for OpenAI's caches and dashboards |
//! | `stream_options` | whoever writes the stream reads it |
//! | `name`, `description` and `strict` of a schema | a label; Anthropic always follows the schema |
//! | `detail` of an image | Anthropic chooses the resolution |
//! | `reasoning` of earlier answers | Anthropic takes only thinking that it signed |
//! | `name` of a tool message, `index` of a call | told by the call's id |
//! | a field with its neutral value, such as `n: 1` or `logprobs: false` | asks for nothing |
//!
//! Fields of *answers* that are not known are ignored, since both vendors add some without notice;
//! unknown blocks, calls and stop reasons are errors.

mod answer;
mod error_object;
mod fields;
mod request;
mod stream;

pub use answer::{BadAnswer, UNSIGNED, completion_to_message, message_to_completion};
pub use error_object::{ErrorObject, ErrorType, chat_status};
pub use fields::Untranslatable;
pub use request::{ChatTarget, chat_to_messages, messages_to_chat};
pub use stream::{BadEvent, ChatToMessages, MessagesToChat};
