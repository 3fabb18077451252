use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::budget::Cap;
use super::{RouteTarget, Strategy};
use crate::duration;
use crate::name::ModelName;
use crate::ports::Unit;

/// A name that callers use as `model`, and who may answer in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// How a target is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// Who may answer, the first choice first where the strategy says nothing else.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::target::schema))]
    pub targets: Vec<RouteTarget>,
    /// What becomes of a request while a target has yet to start.
    #[serde(default)]
    pub while_cold: WhileCold,
    /// What the targets behind a model may cost while it starts, in dollars: `$0.50`. Once that is
    /// used, requests wait for the model. None for no limit.
    #[serde(default, deserialize_with = "money", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub while_cold_budget: Option<Cap>,
    /// How long a conversation stays with the target that has answered it, counted from its last
    /// request; none for not at all.
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub sticky: Option<Duration>,
    /// How long an answer is kept for requests that are the very same; none for not at all.
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub cache_ttl: Option<Duration>,
    /// Whether requests may leave for providers. Their keys must allow it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub egress: bool,
    /// Whether a stream whose replica dies is continued by another one of the same model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recover: bool,
}

/// Reads a cap that can only be money, so that nobody is told of tokens.
fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cap>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let cap = text.parse::<Cap>().ok().filter(|cap| cap.unit() == Unit::NanoDollars);
    cap.map(Some).ok_or_else(|| {
        let shown = text.chars().take(40).collect::<String>().escape_debug().to_string();
        D::Error::custom(format!(
            "`{shown}` is not an amount of money; write dollars, such as `$0.50`"
        ))
    })
}

/// What becomes of a request whose first choice has yet to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhileCold {
    /// The next target that runs answers, and the first starts meanwhile.
    #[default]
    Next,
    /// It waits for the first.
    Hold,
}

impl WhileCold {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Hold => "hold",
        }
    }
}

/// A route that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidRoute {
    /// The field of the route.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl RouteSpec {
    /// The most targets of a route.
    pub const MAX_TARGETS: usize = 16;

    /// The names of its targets.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.targets.iter().map(|target| &target.model)
    }

    /// Checks what serde cannot.
    pub fn validate(&self) -> Result<(), InvalidRoute> {
        let invalid = |problem: String| Err(InvalidRoute { field: "targets", problem });
        if self.targets.is_empty() {
            return invalid("is empty; name at least one model".into());
        }
        if self.targets.len() > Self::MAX_TARGETS {
            return invalid(format!("has more than {} names", Self::MAX_TARGETS));
        }
        let twice = self.models().enumerate().find_map(|(place, name)| {
            self.models().take(place).any(|other| other == name).then_some(name)
        });
        if let Some(name) = twice {
            return invalid(format!("names `{name}` twice; list each target once"));
        }
        let most = RouteTarget::MAX_RANK;
        if let Some(target) =
            self.targets.iter().find(|target| target.weight > most || target.quality > most)
        {
            return invalid(format!("gives `{}` a weight or quality above {most}", target.model));
        }
        if self.strategy == Strategy::Weighted && self.targets.iter().all(|t| t.weight == 0) {
            return invalid("has no target with a weight above 0".into());
        }
        let problem = match self.while_cold_budget {
            Some(cap) if cap.unit() != Unit::NanoDollars => Some("must be money, such as `$0.50`"),
            Some(_) if self.while_cold == WhileCold::Hold => {
                Some("has no effect with `while_cold = \"hold\"`; leave one of them out")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let (field, problem) = ("while_cold_budget", problem.into());
            return Err(InvalidRoute { field, problem });
        }
        for (field, time) in [("sticky", self.sticky), ("cache_ttl", self.cache_ttl)] {
            let problem = match time {
                Some(Duration::ZERO) => {
                    "must be longer than 0; for none, leave it out (`diogenes route apply` takes `none`)"
                }
                Some(time) if time > duration::LONGEST => "must be at most a year",
                _ => continue,
            };
            return Err(InvalidRoute { field, problem: problem.into() });
        }
        Ok(())
    }
}

/// The routes by name.
pub type Routes = BTreeMap<ModelName, RouteSpec>;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(targets: &[&str]) -> RouteSpec {
        let targets: Vec<&str> = targets.to_vec();
        serde_json::from_value(serde_json::json!({ "targets": targets })).unwrap()
    }

    #[test]
    fn a_route_answers_from_the_next_target_unless_told_to_hold() {
        let route = route(&["big", "small"]);
        assert_eq!((route.strategy, route.while_cold), (Strategy::Ordered, WhileCold::Next));
        assert_eq!(route.validate(), Ok(()));
    }

    #[test]
    fn routes_that_cannot_be_are_refused() {
        for (targets, problem) in
            [(&[][..], "name at least one model"), (&["big", "small", "big"], "names `big` twice")]
        {
            let error = route(targets).validate().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        for tokens in ["500", "0.5", "2M", "$", "$x"] {
            let route = serde_json::json!({"targets": ["a"], "while_cold_budget": tokens});
            let error = serde_json::from_value::<RouteSpec>(route).unwrap_err().to_string();
            let said = "is not an amount of money; write dollars, such as `$0.50`";
            assert!(error.contains(said), "{error}");
        }
        let holds = serde_json::json!({
            "targets": ["a"], "while_cold_budget": "$1", "while_cold": "hold",
        });
        let error = serde_json::from_value::<RouteSpec>(holds).unwrap().validate().unwrap_err();
        assert_eq!(error.field, "while_cold_budget");
        assert!(error.problem.contains("no effect"), "{error}");
        for (sticky, problem) in [("0s", "longer than 0"), ("9000h", "at most a year")] {
            let route = serde_json::json!({"targets": ["a"], "sticky": sticky});
            let route: RouteSpec = serde_json::from_value(route).unwrap();
            let error = route.validate().unwrap_err();
            assert!(error.field == "sticky" && error.problem.contains(problem), "{error}");
        }
        for (fields, problem) in [
            (serde_json::json!([{"model": "a", "weight": 1_000_001}]), "above 1000000"),
            (serde_json::json!([{"model": "a", "weight": 0}]), "no target with a weight above 0"),
        ] {
            let route = serde_json::json!({"targets": fields, "strategy": "weighted"});
            let route: RouteSpec = serde_json::from_value(route).unwrap();
            let error = route.validate().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        let many: Vec<String> = (0..17).map(|place| format!("m{place}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(route(&many).validate().is_err());
        for unknown in [
            serde_json::json!({"targets": ["a"], "strategy": "cheapest"}),
            serde_json::json!({"targets": ["a"], "while_cold": "wait"}),
            serde_json::json!({"targets": ["a"], "target": "b"}),
        ] {
            assert!(serde_json::from_value::<RouteSpec>(unknown).is_err());
        }
    }
}
