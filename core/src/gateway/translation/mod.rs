//! Between OpenAI's Chat Completions and Anthropic's Messages, in both directions, and from OpenAI's
//! Responses to Chat Completions: requests, whole answers, streams and errors.
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
//! | of Responses | why |
//! | --- | --- |
//! | `metadata`, `client_metadata`, `prompt_cache_…` | for OpenAI's caches and dashboards; the answer repeats the first and the key |
//! | `store` | nothing is stored, and the answer says so |
//! | `stream_options` | whoever writes the stream reads it |
//! | `truncation` | a target refuses a prompt that is too long, it never cuts one |
//! | `max_tool_calls` | counts calls of tools that are refused |
//! | `include` of what is not there | concerns tools that are refused, or encrypted reasoning |
//! | `reasoning.summary`, `reasoning.context` | the reasoning itself is told; chat templates decide how much of it they keep |
//! | `encrypted_content`; reasoning too at a target without it | only OpenAI can read it |
//! | `text.verbosity`, `service_tier` at an engine | wishes that engines do not know |
//! | `id`, `status`, `phase` and `caller` of an item | for stored items, and for models that label their messages |
//!
//! Requests for responses are stateless: whatever refers to something stored is refused, and so are
//! files, the tools of OpenAI's own and what these left in a conversation. Codex sends one of them,
//! `web_search`, unless its configuration says `web_search = "disabled"`. Custom tools and
//! namespaces are expressed as functions, and their calls translated back:
//!
//! - the text of a custom tool is the one argument of a function. A grammar stands in its
//!   description: the model is told of it, but not held to it, so a client has to expect a text
//!   that breaks it;
//! - the tools of a namespace carry its name before their own, as in `mcp__files__read`.
//!
//! Fields of *answers* that are not known are ignored, since both vendors add some without notice;
//! unknown blocks, calls and stop reasons are errors.

mod answer;
mod error_object;
mod fields;
mod request;
mod responses;
mod stream;

pub use answer::{BadAnswer, UNSIGNED, completion_to_message, message_to_completion};
pub use error_object::{ErrorObject, ErrorType, chat_status};
pub use fields::Untranslatable;
pub use request::{ChatTarget, chat_to_messages, messages_to_chat};
pub use responses::{ChatToResponses, ResponsesEcho, completion_to_response, responses_to_chat};
pub use stream::{BadEvent, ChatToMessages, MessagesToChat};
