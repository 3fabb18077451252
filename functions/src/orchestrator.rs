//! Reconciles the fleet: one model on request, every model on schedule and when EC2 tells of an
//! instance.

use std::sync::Arc;
use std::time::Duration;

use diogenes_backends::aws::ec2::{Ec2Compute, Ec2Settings, Subnet};
use diogenes_backends::aws::event::{ScaleEvent, Scope};
use diogenes_backends::system::{OsEntropy, TokioTimer};
use diogenes_core::causes::chain;
use diogenes_core::fleet::{
    AgentRules, DeploymentId, InstanceId, ReconcileError, Reconciled, Reconciler, Round,
    StoredDemand,
};
use diogenes_core::name::ModelName;
use serde_json::Value;

use crate::environment::{BadVariable, duration, optional, required};
use crate::metrics;
use crate::start::{Base, endpoint};

/// How long a router may still send to a replica that drains, where `DIOGENES_ROUTER_LAG` does not
/// say: the life of its view, the time between two beats, and some slack.
const ROUTER_LAG: Duration = Duration::from_secs(30);
/// How long a launch is left to the orchestrator that began it, where `DIOGENES_LAUNCH_PATIENCE` does
/// not say: RunInstances answers within seconds, and the schedule comes by once a minute.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(10);
/// How much earlier than its instance a replica is drained.
const DRAIN_BEFORE_END: Duration = Duration::from_mins(30);

/// The orchestrator.
pub struct Orchestrator {
    reconciler: Reconciler,
}

/// What an event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    One(ModelName),
    All,
    /// Everything, knowing that EC2 takes this instance back.
    Interrupted(InstanceId),
}

/// Why an event was not carried out.
#[derive(thiserror::Error)]
pub enum EventError {
    /// Nobody sends such events.
    #[error("unknown event: {0}")]
    Unknown(String),
    /// The reconcile stopped half-way; the next one goes on there.
    #[error("the fleet could not be reconciled: {}", chain(.0))]
    Reconcile(#[from] ReconcileError),
}

crate::display::debug_as_display!(EventError);

impl Orchestrator {
    /// An orchestrator as the environment says.
    pub fn new(base: &Base) -> Result<Self, BadVariable> {
        let deployment = DeploymentId::new(required("DIOGENES_DEPLOYMENT")?);
        let subnets = Subnet::parse_list(&required("DIOGENES_SUBNETS")?).map_err(|error| {
            BadVariable::new("DIOGENES_SUBNETS", format!("is not usable: {error}"))
        })?;
        let max_lifetime = duration("DIOGENES_MAX_LIFETIME", Duration::from_hours(24))?;
        let settings = Ec2Settings {
            deployment: deployment.clone(),
            launch_template: required("DIOGENES_LAUNCH_TEMPLATE")?,
            launch_template_version: optional("DIOGENES_LAUNCH_TEMPLATE_VERSION", "$Default")?,
            subnets,
            table: base.table.clone(),
            region: base.region.clone(),
            max_lifetime,
            lease_timeout: duration("DIOGENES_LEASE_TIMEOUT", Duration::from_mins(15))?,
        };
        let mut ec2 = aws_sdk_ec2::config::Builder::from(&base.config);
        if let Some(endpoint) = endpoint("AWS_ENDPOINT_URL_EC2") {
            ec2 = ec2.endpoint_url(endpoint);
        }
        let compute = Ec2Compute::new(aws_sdk_ec2::Client::from_conf(ec2.build()), settings);
        let demand = StoredDemand::new(base.store.clone(), base.clock.clone());
        let drained_at = max_lifetime.saturating_sub(DRAIN_BEFORE_END).max(max_lifetime / 2);
        Ok(Self {
            reconciler: Reconciler {
                store: base.store.clone(),
                compute: Arc::new(compute),
                demand: Arc::new(demand),
                clock: base.clock.clone(),
                timer: Arc::new(TokioTimer),
                entropy: Arc::new(OsEntropy),
                deployment,
                router_lag: duration("DIOGENES_ROUTER_LAG", ROUTER_LAG)?,
                launch_patience: duration("DIOGENES_LAUNCH_PATIENCE", LAUNCH_PATIENCE)?,
                agents: Some(AgentRules { max_lifetime: drained_at }),
            },
        })
    }

    /// Carries out one event. What fails for one model is told once the metrics of all are written.
    pub async fn handle(&self, event: Value) -> Result<(), EventError> {
        let round = match task(event)? {
            Task::One(model) => {
                let outcome = self.reconciler.reconcile(&model).await?;
                let oldest_launch = outcome.oldest_launch;
                let one = Reconciled { model, result: Ok(outcome), oldest_launch };
                Round { models: vec![one], errors: Vec::new() }
            }
            Task::All => log_round(self.reconciler.reconcile_all().await?),
            Task::Interrupted(instance) => {
                tracing::info!(instance.id = %instance, "EC2 is reclaiming {instance}");
                log_round(self.reconciler.reconcile_interrupted(&instance).await?)
            }
        };
        let Reconciler { deployment, clock, .. } = &self.reconciler;
        metrics::report(deployment, &round.models, clock.now());
        let mut failures = round.failures();
        let first = failures.next();
        for error in failures {
            tracing::error!(error = &error as &dyn std::error::Error, "{error}, again");
        }
        first.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn log_round(round: Round) -> Round {
    tracing::info!(models = round.models.len(), "every model has had its turn");
    round
}

/// Events of EventBridge tell of an instance and not of its model: everything is looked at.
fn task(event: Value) -> Result<Task, EventError> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let source = text("/source");
    if text("/detail-type") == Some("EC2 Spot Instance Interruption Warning")
        && let Some(instance) = text("/detail/instance-id")
    {
        return Ok(Task::Interrupted(InstanceId::new(instance)));
    }
    if matches!(source, Some("aws.ec2" | "aws.scheduler" | "aws.events")) {
        return Ok(Task::All);
    }
    let shown = event.to_string().chars().take(300).collect::<String>();
    match serde_json::from_value(event) {
        Ok(ScaleEvent::Reconcile(Scope::Model(model))) => Ok(Task::One(model)),
        Ok(ScaleEvent::Reconcile(Scope::All)) => Ok(Task::All),
        Err(_) => Err(EventError::Unknown(shown)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_apart() {
        let one = Task::One("a/b".parse().unwrap());
        let warning = "EC2 Spot Instance Interruption Warning";
        for (event, wanted) in [
            (
                json!({"source": "aws.ec2", "detail-type": warning, "detail": {"instance-id": "i-1"}}),
                Task::Interrupted(InstanceId::new("i-1")),
            ),
            (json!({"source": "aws.ec2", "detail-type": warning, "detail": null}), Task::All),
            (json!({"source": "aws.ec2", "detail": {"instance-id": "i-1"}}), Task::All),
            (json!({"reconcile": {"model": "a/b"}}), one),
            (json!({"reconcile": "all"}), Task::All),
            (json!({"source": "aws.scheduler"}), Task::All),
        ] {
            assert_eq!(task(event).unwrap(), wanted);
        }
        for event in [json!({}), json!(null), json!({"reconcile": {"model": ""}}), json!([1])] {
            assert!(matches!(task(event), Err(EventError::Unknown(_))));
        }
    }
}
