use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::ModelName;

/// A name that callers use as `model`, and who may answer in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// How a target is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// Names or aliases of models, or models of providers (`openai/gpt-5-mini`), the first choice
    /// first.
    pub targets: Vec<ModelName>,
    /// What becomes of a request while a target has yet to start.
    #[serde(default)]
    pub while_cold: WhileCold,
    /// Whether requests may leave for providers. Their keys must allow it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub egress: bool,
}

/// How the targets of a route are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The first that can serve.
    #[default]
    Ordered,
}

/// What becomes of a request whose first choice has yet to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileCold {
    /// The next target that runs answers, and the first starts meanwhile.
    #[default]
    Next,
    /// It waits for the first.
    Hold,
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

    /// Checks what serde cannot.
    pub fn validate(&self) -> Result<(), InvalidRoute> {
        let invalid = |problem: String| Err(InvalidRoute { field: "targets", problem });
        if self.targets.is_empty() {
            return invalid("names no model; name at least one".into());
        }
        if self.targets.len() > Self::MAX_TARGETS {
            return invalid(format!("has more than {} names", Self::MAX_TARGETS));
        }
        let twice = self.targets.iter().enumerate().find_map(|(place, name)| {
            self.targets.iter().take(place).any(|other| other == name).then_some(name)
        });
        match twice {
            Some(name) => invalid(format!("names `{name}` twice; a target gets a request once")),
            None => Ok(()),
        }
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
            [(&[][..], "names no model"), (&["big", "small", "big"], "names `big` twice")]
        {
            let error = route(targets).validate().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        let many: Vec<String> = (0..17).map(|place| format!("m{place}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(route(&many).validate().is_err());
        for unknown in [
            serde_json::json!({"targets": ["a"], "strategy": "cost"}),
            serde_json::json!({"targets": ["a"], "while_cold": "wait"}),
            serde_json::json!({"targets": ["a"], "target": "b"}),
        ] {
            assert!(serde_json::from_value::<RouteSpec>(unknown).is_err());
        }
    }
}
