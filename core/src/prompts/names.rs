use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ordered_id::ordered_ids;

/// The longest slug in bytes.
pub const MAX_SLUG: usize = 64;
/// The longest label in bytes.
pub const MAX_PROMPT_LABEL: usize = 40;

ordered_ids! {
    /// What a prompt keeps as long as it is there, and no later one of the same slug has.
    PromptId, "prompt_";
}

/// A name that a prompt, a label or a version cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPromptName {
    #[error(
        "`{}` is not the slug of a prompt; use 1 to {MAX_SLUG} of a–z 0–9 - _ . without slashes and \
         colons, starting with a letter or digit", .0.escape_debug()
    )]
    Slug(String),
    #[error(
        "`{}` is not a label; use 1 to {MAX_PROMPT_LABEL} of a–z 0–9 - _, starting with a letter, and \
         not `latest` or a version such as `v2`", .0.escape_debug()
    )]
    Label(String),
    #[error(
        "`{}` is not a version; use a number such as `v2`, `latest` or a label", .0.escape_debug()
    )]
    Selector(String),
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_SLUG + 1).collect()
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $fits:path, $wrong:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            )]
            #[serde(try_from = "String", into = "String")]
            pub struct $name(String);

            impl $name {
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl FromStr for $name {
                type Err = InvalidPromptName;

                fn from_str(text: &str) -> Result<Self, InvalidPromptName> {
                    if $fits(text) {
                        Ok(Self(text.to_owned()))
                    } else {
                        Err(InvalidPromptName::$wrong(shortened(text)))
                    }
                }
            }

            impl TryFrom<String> for $name {
                type Error = InvalidPromptName;

                fn try_from(text: String) -> Result<Self, InvalidPromptName> {
                    text.parse()
                }
            }

            impl From<$name> for String {
                fn from(name: $name) -> Self {
                    name.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&self.0)
                }
            }
        )*
    };
}

texts! {
    /// What people call a prompt, unique in its project: 1 to 64 of `a–z 0–9 - _ .`, beginning with a
    /// letter or a digit. It does not begin as ids do: with `prompt_`, or with OpenAI's `pmpt_`.
    PromptSlug, is_slug, Slug;
    /// A name for one version of a prompt at a time, such as `production`.
    Label, is_label, Label;
}

impl Label {
    /// The label that a reference without a version means.
    pub const DEFAULT: &str = "production";

    /// That label.
    pub fn default_label() -> Self {
        Self(Self::DEFAULT.into())
    }
}

fn is_slug(text: &str) -> bool {
    let is_of_slug = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    let first = text.bytes().next();
    text.len() <= MAX_SLUG
        && first.is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(is_of_slug)
        && !text.starts_with("prompt_")
        && !text.starts_with("pmpt_")
}

fn is_label(text: &str) -> bool {
    let is_of_label = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    let is_version = text
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_PROMPT_LABEL
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_of_label)
        && text != "latest"
        && !is_version
}

/// Which version of a prompt is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// The one with the label [`Label::DEFAULT`].
    #[default]
    Default,
    /// The newest one, whatever its labels.
    Latest,
    /// The one with this number.
    Number(u32),
    /// The one with this label.
    Label(Label),
}

impl FromStr for Selector {
    type Err = InvalidPromptName;

    /// Reads `v2`, `2`, `latest` or a label.
    fn from_str(text: &str) -> Result<Self, InvalidPromptName> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix('v').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = digits.parse().ok().filter(|number| *number > 0);
            let wrong = || InvalidPromptName::Selector(shortened(text));
            return number.map(Self::Number).ok_or_else(wrong);
        }
        let label = text.parse().map_err(|_| InvalidPromptName::Selector(shortened(text)))?;
        Ok(Self::Label(label))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad(Label::DEFAULT),
            Self::Latest => f.pad("latest"),
            Self::Number(number) => f.pad(&format!("v{number}")),
            Self::Label(label) => label.fmt(f),
        }
    }
}

/// A version of a prompt as callers name it: `slug`, `slug:v2`, `slug:latest` or `slug:LABEL`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PromptRef {
    pub slug: PromptSlug,
    pub version: Selector,
}

impl FromStr for PromptRef {
    type Err = InvalidPromptName;

    fn from_str(text: &str) -> Result<Self, InvalidPromptName> {
        let (slug, version) = match text.split_once(':') {
            None => (text, Selector::Default),
            Some((slug, version)) => (slug, version.parse()?),
        };
        Ok(Self { slug: slug.parse()?, version })
    }
}

impl fmt::Display for PromptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Selector::Default => self.slug.fmt(f),
            version => write!(f, "{}:{version}", self.slug),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_have_no_slashes_and_colons_and_do_not_look_like_ids() {
        for good in ["summarizer", "a", "2nd", "a.b-c_d", &"a".repeat(MAX_SLUG)] {
            assert!(good.parse::<PromptSlug>().is_ok(), "{good}");
        }
        let long = "a".repeat(MAX_SLUG + 1);
        for bad in ["", "a/b", "a:b", "A", "-a", ".", "ä", "a b", "prompt_1", "pmpt_1", &long] {
            let error = bad.parse::<PromptSlug>().unwrap_err();
            assert!(error.to_string().contains("without slashes"), "{bad}");
        }
    }

    #[test]
    fn references_name_one_version() {
        for (text, version) in [
            ("a", Selector::Default),
            ("a:v2", Selector::Number(2)),
            ("a:2", Selector::Number(2)),
            ("a:latest", Selector::Latest),
            ("a:staging", Selector::Label("staging".parse().unwrap())),
            ("a:vip", Selector::Label("vip".parse().unwrap())),
        ] {
            assert_eq!(text.parse::<PromptRef>().unwrap().version, version, "{text}");
        }
        for bad in ["a:", "a:v0", "a:V2", "a:b:c", "a:v99999999999", ":v1", "a:b/c", "a:-1"] {
            assert!(bad.parse::<PromptRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_label_is_not_taken_for_a_version() {
        for bad in ["latest", "v1", "v01", "2", "", "A", "-a", "a.b", "a:b"] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
        assert!("v1-candidate".parse::<Label>().is_ok());
    }
}
