use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest project id in bytes.
const MAX_LENGTH: usize = 40;

/// The id of a project: 1 to 40 of `a–z 0–9 -`, beginning and ending with a letter or a digit.
/// The project `default` always exists; everything without a project belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId(Arc<str>);

/// Text that is not a project id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a project id; use 1 to {MAX_LENGTH} lower-case letters, digits and hyphens, \
     beginning and ending with a letter or a digit",
    .0.escape_debug()
)]
pub struct InvalidProjectId(String);

impl ProjectId {
    /// The regular expression that every id matches, for descriptions of the API.
    pub const PATTERN: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";

    const DEFAULT: &str = "default";

    /// Text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the project that always exists.
    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }
}

impl Default for ProjectId {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for ProjectId {
    type Err = InvalidProjectId;

    fn from_str(text: &str) -> Result<Self, InvalidProjectId> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidProjectId(text.chars().take(MAX_LENGTH + 1).collect()))
        }
    }
}

impl TryFrom<String> for ProjectId {
    type Error = InvalidProjectId;

    fn try_from(text: String) -> Result<Self, InvalidProjectId> {
        text.parse()
    }
}

impl From<ProjectId> for String {
    fn from(id: ProjectId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_slugs() {
        let longest = "a".repeat(MAX_LENGTH);
        for good in ["default", "a", "9", "team-a", "a--b", &longest] {
            assert_eq!(good.parse::<ProjectId>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for bad in ["", "-", "a-", "-a", "Team", "a_b", "a/b", "a#b", "a b", "ä", "..", &too_long]
        {
            let error = bad.parse::<ProjectId>().unwrap_err().to_string();
            assert!(error.contains("is not a project id"), "{error}");
        }
    }

    #[test]
    fn the_default_project_is_named_default() {
        assert!(ProjectId::default().is_default());
        assert_eq!("default".parse(), Ok(ProjectId::default()));
        assert!(!"defaults".parse::<ProjectId>().unwrap().is_default());
    }
}
