//! What the generating endpoints' requests have in common.

use serde::Deserialize;

use crate::text::count_tokens;

/// A string or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The content of a message: text, or parts of which some are text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    text: Option<String>,
}

impl Content {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => {
                parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// A message of a conversation.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: bool,
    #[serde(default)]
    pub(crate) continuous_usage_stats: bool,
}

/// The parameters that the generating endpoints share.
#[derive(Debug, Default)]
pub(crate) struct Sampling {
    pub(crate) model: Option<String>,
    pub(crate) n: Option<i64>,
    /// The parameter's name and value.
    pub(crate) max_tokens: Option<(&'static str, i64)>,
    pub(crate) min_tokens: Option<u32>,
    pub(crate) ignore_eos: bool,
    pub(crate) stop: Vec<String>,
    pub(crate) seed: Option<i64>,
}

/// What the answer is made from.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Chooses the words.
    pub(crate) question: String,
    pub(crate) tokens: u32,
}

impl Prompt {
    pub(crate) fn text(text: String) -> Self {
        Self { tokens: count_tokens(&text).max(1), question: text }
    }

    /// A conversation; its question is the last message of the user. Three tokens a message stand for the template.
    pub(crate) fn conversation(messages: Vec<Message>) -> Self {
        let mut prompt = Self { question: String::new(), tokens: 0 };
        for message in messages {
            let text = message.content.map(Content::into_text).unwrap_or_default();
            prompt.tokens = prompt.tokens.saturating_add(count_tokens(&text)).saturating_add(3);
            if message.role == "user" {
                prompt.question = text;
            }
        }
        prompt
    }
}
