//! What the generating endpoints' requests have in common.

use serde::Deserialize;

use super::error::ApiError;
use crate::text::count_tokens;
use crate::tokens;

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
    /// Whether the ids of tokens are told.
    pub(crate) ids: bool,
}

/// What the answer is made from.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Chooses the words.
    pub(crate) question: String,
    pub(crate) tokens: u32,
    /// Its own, if they are known or asked for.
    pub(crate) ids: Option<Vec<u32>>,
    /// What the answer begins with already.
    pub(crate) said: Said,
}

/// What has been said of an answer.
#[derive(Debug, Default)]
pub(crate) enum Said {
    #[default]
    Nothing,
    Text(String),
    Tokens(usize),
}

/// How a conversation is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    pub(crate) add_generation_prompt: bool,
    pub(crate) continue_final_message: bool,
    /// Whether the ids of its tokens are asked for.
    pub(crate) ids: bool,
}

impl Default for Template {
    fn default() -> Self {
        Self { add_generation_prompt: true, continue_final_message: false, ids: false }
    }
}

impl Template {
    /// The two flags as a request has them; vLLM refuses both.
    pub(crate) fn new(
        add_generation_prompt: Option<bool>,
        continue_final_message: Option<bool>,
        ids: bool,
    ) -> Result<Self, ApiError> {
        let add_generation_prompt = add_generation_prompt.unwrap_or(true);
        let continue_final_message = continue_final_message.unwrap_or(false);
        if add_generation_prompt && continue_final_message {
            let message =
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True.";
            return Err(ApiError::invalid("continue_final_message", true, message));
        }
        Ok(Self { add_generation_prompt, continue_final_message, ids })
    }
}

impl Prompt {
    pub(crate) fn text(text: String) -> Self {
        Self { tokens: count_tokens(&text).max(1), question: text, ids: None, said: Said::Nothing }
    }

    /// A conversation; its question is the last message of the user. Three tokens a message stand for the template.
    pub(crate) fn conversation(messages: Vec<Message>, template: Template) -> Self {
        let mut prompt =
            Self { question: String::new(), tokens: 0, ids: None, said: Said::Nothing };
        let texts: Vec<(String, String)> = messages
            .into_iter()
            .map(|message| {
                (message.role, message.content.map(Content::into_text).unwrap_or_default())
            })
            .collect();
        for (role, text) in &texts {
            prompt.tokens = prompt.tokens.saturating_add(count_tokens(text)).saturating_add(3);
            if role == "user" {
                prompt.question.clone_from(text);
            }
        }
        let open = texts.last().filter(|_| template.continue_final_message);
        if let Some((_, text)) = open {
            prompt.said = Said::Text(text.trim_end().to_owned());
        }
        if template.ids {
            let texts = texts.iter().map(|(role, text)| (role.as_str(), text.as_str()));
            let asks = template.add_generation_prompt;
            let ids = tokens::conversation(texts, template.continue_final_message, asks);
            prompt.tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            prompt.ids = Some(ids);
        }
        prompt
    }
}
