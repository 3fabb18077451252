//! `/api/v1/prompts`: prompts, their versions and labels.

mod area;
mod bodies;
pub(super) mod comparison;
pub(super) mod handlers;
pub(super) mod labels;
pub(super) mod versions;

pub use area::PromptsArea;
pub(crate) use area::prompt_error;
pub use bodies::{
    LabelBody, PromptBody, PromptList, PromptVersionBody, PushPrompt, PushedPrompt, UpdatePrompt,
};
pub use comparison::ComparisonBody;
pub use labels::PutLabel;
pub use versions::{PromptHistory, RenderPrompt, RenderedPrompt};
