//! What the orchestrator is told to reconcile, for both ends.

use diogenes_core::name::ModelName;
use serde::{Deserialize, Serialize};

/// What the control plane sends to the orchestrator, in its JSON form: `{"reconcile":"all"}` or
/// `{"reconcile":{"model":"name"}}`.
///
/// Events of EventBridge have shapes of their own and are none of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleEvent {
    /// Asks for one reconcile.
    Reconcile(Scope),
}

/// What to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every model, and the instances that no model knows.
    All,
    /// One model.
    Model(ModelName),
}

impl ScaleEvent {
    /// The event that asks for a reconcile of `model`.
    pub fn model(model: ModelName) -> Self {
        Self::Reconcile(Scope::Model(model))
    }

    /// The event that asks for a reconcile of everything.
    pub fn all() -> Self {
        Self::Reconcile(Scope::All)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn both_forms_round_trip() {
        let model = "qwen3-8b".parse::<ModelName>().unwrap();
        for (event, wire) in [
            (ScaleEvent::model(model), json!({"reconcile": {"model": "qwen3-8b"}})),
            (ScaleEvent::all(), json!({"reconcile": "all"})),
        ] {
            assert_eq!(serde_json::to_value(&event).unwrap(), wire);
            assert_eq!(serde_json::from_value::<ScaleEvent>(wire).unwrap(), event);
        }
    }

    #[test]
    fn other_events_are_none_of_these() {
        for wire in [
            json!({}),
            json!({"reconcile": null}),
            json!({"reconcile": {"model": "not a name!"}}),
            json!({"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"}),
            Value::Null,
        ] {
            assert!(serde_json::from_value::<ScaleEvent>(wire.clone()).is_err(), "{wire}");
        }
    }
}
