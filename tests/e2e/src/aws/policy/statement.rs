use serde_json::Value;

use super::condition::Condition;
use super::fits;
use super::request::Request;

/// Whether a statement grants or takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It takes away, whatever others grant.
    Deny,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub sid: String,
    /// What it does.
    pub effect: Effect,
    /// Such as `dynamodb:GetItem`.
    pub actions: Vec<String>,
    /// ARNs.
    pub resources: Vec<String>,
    pub(super) conditions: Vec<Condition>,
}

impl Statement {
    /// Reads a statement whose intrinsic functions are resolved.
    ///
    /// # Panics
    /// If it has an element that is not known here.
    pub(super) fn read(statement: &Value) -> Self {
        let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
        let stranger = statement.as_object().into_iter().flatten();
        let stranger = stranger.map(|(name, _)| name).find(|name| !known.contains(&name.as_str()));
        assert_eq!(stranger, None, "not known in a statement; teach it to {}", file!());
        let effect = match statement["Effect"].as_str() {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            other => panic!("the effect {other:?} is none"),
        };
        Self {
            sid: statement["Sid"].as_str().unwrap_or_default().to_owned(),
            effect,
            actions: texts(&statement["Action"]),
            resources: texts(&statement["Resource"]),
            conditions: Condition::read(statement),
        }
    }

    /// Whether it speaks of this call.
    pub fn covers(&self, request: &Request) -> bool {
        self.actions.iter().any(|action| covers_action(action, &request.action))
            && self.resources.iter().any(|resource| fits(resource, &request.resource))
            && self.conditions.iter().all(|condition| condition.holds(&request.context))
    }
}

/// Actions are compared without regard to case.
pub(super) fn covers_action(pattern: &str, action: &str) -> bool {
    fits(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// A text or a list of texts.
pub(super) fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().map(one).collect(),
        value => vec![one(value)],
    }
}
