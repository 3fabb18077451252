//! What the orchestrator is told to reconcile, and workers to look at, for both ends.

use diogenes_core::jobs::QueueName;
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

/// What workers are told, in its JSON form: `{"work":{"queue":"batch"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkEvent {
    /// Asks for one look at a queue, and for work on what is due there.
    Work(Look),
}

/// A look at a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub queue: QueueName,
    /// How many invocations before this one were cut off by their deadlines without having got
    /// further, each of which has led to the next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fruitless: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl WorkEvent {
    /// The event that asks for a look at `queue`.
    pub fn new(queue: QueueName) -> Self {
        Self::Work(Look { queue, fruitless: 0 })
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
    fn looks_round_trip() {
        let queue = "batch".parse::<QueueName>().unwrap();
        for (event, wire) in [
            (WorkEvent::new(queue.clone()), json!({"work": {"queue": "batch"}})),
            (
                WorkEvent::Work(Look { queue, fruitless: 2 }),
                json!({"work": {"queue": "batch", "fruitless": 2}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&event).unwrap(), wire);
            assert_eq!(serde_json::from_value::<WorkEvent>(wire).unwrap(), event);
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
