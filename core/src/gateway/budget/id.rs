use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Period;
use super::period::InvalidPeriod;
use crate::keys::KeyId;
use crate::name::{InvalidName, ModelName};
use crate::ports::Unit;
use crate::tenancy::{InvalidProjectId, ProjectId};

/// Whose requests a budget counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// Those of a key, and of the keys that have replaced it.
    Key(KeyId),
    /// Those of all keys of a project.
    Project(ProjectId),
    /// Those that name a route, of all projects together.
    Route(ModelName),
    /// Those of one eval run. It comes with its requests; nobody sets it.
    Run(String),
}

/// A budget's identity: there is at most one for each scope, unit and period. As text,
/// `key/0f3a/usd/month`, `project/search/tokens/day`, `route/chat/usd/total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetId {
    pub scope: BudgetScope,
    /// [`Unit::NanoDollars`] or [`Unit::Tokens`].
    pub unit: Unit,
    pub period: Period,
}

/// Text that is not the id of a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBudgetId {
    #[error(
        "`{0}` is not the id of a budget; write it as `key/ID/usd/month`, `project/ID/tokens/day` \
         or `route/NAME/usd/total`"
    )]
    Syntax(String),
    #[error(transparent)]
    Project(#[from] InvalidProjectId),
    #[error(transparent)]
    Route(#[from] InvalidName),
    #[error(transparent)]
    Period(#[from] InvalidPeriod),
}

impl BudgetScope {
    /// The kind and the id apart, `key` and `0f3a`.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Key(id) => ("key", id.as_str()),
            Self::Project(id) => ("project", id.as_str()),
            Self::Route(name) => ("route", name.as_str()),
            Self::Run(id) => ("run", id),
        }
    }
}

/// For messages: ``key `0f3a` ``.
impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = self.parts();
        write!(f, "{kind} `{id}`")
    }
}

impl BudgetId {
    /// What it counts, as in its text: `usd` or `tokens`.
    pub fn unit_name(&self) -> &'static str {
        unit_name(self.unit)
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::NanoDollars => "usd",
        Unit::Tokens => "tokens",
        Unit::Requests => "requests",
    }
}

impl fmt::Display for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = self.scope.parts();
        f.pad(&format!("{kind}/{id}/{}/{}", unit_name(self.unit), self.period))
    }
}

impl FromStr for BudgetId {
    type Err = InvalidBudgetId;

    fn from_str(text: &str) -> Result<Self, InvalidBudgetId> {
        let syntax = || {
            let shown: String = text.chars().take(200).collect();
            InvalidBudgetId::Syntax(shown.escape_debug().to_string())
        };
        let (kind, rest) = text.split_once('/').ok_or_else(syntax)?;
        // The name of a route may contain slashes.
        let (rest, period) = rest.rsplit_once('/').ok_or_else(syntax)?;
        let (id, unit) = rest.rsplit_once('/').ok_or_else(syntax)?;
        let is_key = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let scope = match kind {
            "key" if is_key => BudgetScope::Key(KeyId::from_caller(id)),
            "project" => BudgetScope::Project(id.parse()?),
            "route" => BudgetScope::Route(id.parse()?),
            _ => return Err(syntax()),
        };
        let unit =
            [Unit::NanoDollars, Unit::Tokens].into_iter().find(|one| unit_name(*one) == unit);
        Ok(Self { scope, unit: unit.ok_or_else(syntax)?, period: period.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        for text in [
            "key/GaZMo4DdkITzbJgX/usd/month",
            "project/team-a/tokens/day",
            "route/chat/usd/total",
            "route/org/chat/usd/day",
        ] {
            assert_eq!(text.parse::<BudgetId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_ids_name_what_is_wrong() {
        for (bad, part) in [
            ("", "is not the id of a budget"),
            ("key/a/usd", "is not the id of a budget"),
            ("team/a/usd/day", "is not the id of a budget"),
            ("key//usd/day", "is not the id of a budget"),
            ("key/a/eur/day", "is not the id of a budget"),
            ("key/a/requests/day", "is not the id of a budget"),
            ("project/A/usd/day", "is not a project id"),
            ("route/-/usd/day", "is not a model name"),
            ("key/a/usd/week", "is not a period"),
        ] {
            let error = bad.parse::<BudgetId>().unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
