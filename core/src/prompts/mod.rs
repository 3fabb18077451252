//! Prompts: messages with variables, in versions that never change, and labels that say which of them
//! is in use.
//!
//! A [`Prompt`] is the record that changes: its name, its labels, the number of its newest version.
//! A [`PromptVersion`] is written once. A [`PromptRef`] such as `summarizer:production` names one of
//! them. [`render()`] makes messages of a version and values, and nothing of a value is ever read as a
//! template. [`PromptShelf`] keeps those in use at hand, so that a request reads nothing of the store.

mod changes;
mod content;
mod diff;
mod error;
mod labels;
mod listing;
mod names;
mod record;
mod render;
mod service;
mod shelf;
mod split;
mod template;
mod update;
mod words;

pub use content::{
    DefaultConfig, MAX_CONTENT_BYTES, MAX_MESSAGE_BYTES, MOST_MESSAGES, MOST_VARIABLES,
    PromptContent, PromptMessage, Role, Variable, VariableType,
};
pub use diff::{Comparison, Difference, DifferenceType, SimilarityBy};
pub use error::{PromptError, PromptProblem};
pub use labels::LabelMove;
pub use listing::{OrderBy, PromptFilter, PromptPage};
pub use names::{
    InvalidPromptName, Label, MAX_PROMPT_LABEL, MAX_SLUG, PromptId, PromptRef, PromptSlug, Selector,
};
pub use record::{LabelState, Prompt, PromptStatus, PromptVersion};
pub use render::{MOST_RENDERED_BYTES, render};
pub use service::{NewVersion, Prompts, Pushed, VersionPage};
pub use shelf::{LONGEST_OUTAGE, MOST_LAG, PromptShelf, ServedPrompt};
pub use split::{Assignment, InvalidPercent, Percent, Side, Split, Unit};
pub use update::PromptUpdate;
pub use words::{WordChange, WordEdit};

#[cfg(test)]
mod shelf_tests;
#[cfg(test)]
mod tests;
