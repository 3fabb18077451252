//! Where instances are launched, as a model's ladder says it: the part of a spec that only EC2
//! understands.

use diogenes_core::fleet::{ModelSpec, Placement, SpecError, SpecRule, UseStamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the user data of an instance has room for, of 16 KiB before its encoding: the rest is for the
/// claim, names and times.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html>
const MAX_ENGINE_BYTES: usize = 14 << 10;

/// The port that security groups open and that agents pass to their engines.
const PORT: u16 = 8000;

const EXAMPLE: &str =
    r#"list where to launch it, for example [{"instance_type": "g6.xlarge", "market": "spot"}]"#;

/// What a deployment on AWS asks of a model.
pub const RULE: SpecRule = SpecRule { admit, has_places: true, has_parameters: true };

/// One step of a ladder on EC2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ec2Placement {
    /// The instance type: `g6.xlarge`.
    pub instance_type: String,
    /// The availability zone; any of the deployment's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How it is paid for.
    #[serde(default)]
    pub market: Market,
}

/// How an instance is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Market {
    /// At the list price, until we end it.
    #[default]
    OnDemand,
    /// Cheaper, and AWS may take it back.
    Spot,
}

impl Market {
    /// As it is written in a ladder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on_demand",
            Self::Spot => "spot",
        }
    }
}

/// A placement that means nothing on EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOnEc2(pub(super) String);

impl TryFrom<&Placement> for Ec2Placement {
    type Error = NotOnEc2;

    fn try_from(placement: &Placement) -> Result<Self, NotOnEc2> {
        let label = placement.label();
        // EC2's names are a family and a size.
        let is_type = label
            .split_once('.')
            .is_some_and(|(family, size)| !family.is_empty() && !size.is_empty());
        if !is_type {
            return Err(NotOnEc2(format!("names `{label}`, which is not an instance type")));
        }
        let mut fields: Map<String, Value> = placement.details().clone().into_iter().collect();
        fields.insert("instance_type".into(), label.into());
        serde_json::from_value(Value::Object(fields)).map_err(|error| {
            NotOnEc2(format!("has a rung `{label}` that EC2 cannot launch: {error}"))
        })
    }
}

impl From<Ec2Placement> for Placement {
    fn from(Ec2Placement { instance_type, zone, market }: Ec2Placement) -> Self {
        let placement = Self::new(instance_type).with("market", market.as_str());
        match zone {
            Some(zone) => placement.with("zone", zone),
            None => placement,
        }
    }
}

/// Refuses what instances could not do justice to: they have to be chosen, take only so much user
/// data, and learn from [`UseStamp`]s whether their model is in use.
fn admit(spec: ModelSpec) -> Result<ModelSpec, SpecError> {
    if spec.idle_timeout < UseStamp::EVERY {
        let least = diogenes_core::duration::format(UseStamp::EVERY);
        let problem = format!("must be at least {least}, the interval at which use is recorded");
        return Err(SpecError { field: "idle_timeout", problem });
    }
    let engine = serde_json::to_string(&spec.engine()).map_or(0, |text| text.len());
    if engine > MAX_ENGINE_BYTES {
        let problem = format!(
            "and `env` have {engine} bytes together; an instance can be told at most \
             {MAX_ENGINE_BYTES}, so put the rest into a file on the image"
        );
        return Err(SpecError { field: "command", problem });
    }
    if spec.max_concurrency.is_some() {
        let problem = "needs a queue that all requests share, and here every router serves one \
                       request; leave it out and limit the engine itself, such as by vLLM's \
                       `--max-num-seqs`";
        return Err(SpecError { field: "max_concurrency", problem: problem.into() });
    }
    spec.validate_port()?;
    if spec.port.is_some_and(|port| port != PORT) {
        let problem = format!(
            "must be {PORT}, the only port of an instance that can be reached; pass `{{port}}` to \
             the command instead"
        );
        return Err(SpecError { field: "port", problem });
    }
    let wrong =
        |problem: &str| SpecError { field: "ladder", problem: format!("{problem}; {EXAMPLE}") };
    if spec.ladder.is_empty() {
        return Err(wrong("is missing"));
    }
    let canonical = |placement: &Placement| {
        let on_ec2 =
            Ec2Placement::try_from(placement).map_err(|NotOnEc2(problem)| wrong(&problem))?;
        Ok(Placement::from(on_ec2).at(placement.price_per_hour()))
    };
    let ladder = spec.ladder.iter().map(canonical).collect::<Result<_, SpecError>>()?;
    Ok(ModelSpec { ladder, ..spec })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admitted(ladder: Value) -> Result<Value, String> {
        let mut spec = ModelSpec::new(["vllm", "{port}"]);
        spec.ladder = serde_json::from_value(ladder).unwrap();
        let spec = admit(spec).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(spec.ladder).unwrap())
    }

    #[test]
    fn a_rung_is_registered_in_full() {
        let ladder = json!([
            {"instance_type": "g6.xlarge"},
            {"instance_type": "g6.xlarge", "market": "spot", "zone": "a", "price_per_hour": "0.50"},
        ]);
        let registered = json!([
            {"instance_type": "g6.xlarge", "market": "on_demand"},
            {"instance_type": "g6.xlarge", "market": "spot", "zone": "a", "price_per_hour": "0.5"},
        ]);
        assert_eq!(admitted(ladder), Ok(registered.clone()));
        assert_eq!(admitted(registered.clone()), Ok(registered));
    }

    #[test]
    fn nobody_waits_for_a_turn_here() {
        let mut spec = ModelSpec::new(["vllm", "{port}"]);
        spec.max_concurrency = Some(8);
        assert_eq!(admit(spec).unwrap_err().field, "max_concurrency");
    }

    #[test]
    fn what_ec2_does_not_know_is_named() {
        for (rung, problem) in [
            (json!({"instance_type": "local"}), "names `local`, which is not an instance type"),
            (json!({"instance_type": "g6."}), "names `g6.`, which is not an instance type"),
            (
                json!({"instance_type": "g6.xlarge", "market": "free"}),
                "has a rung `g6.xlarge` that EC2 cannot launch: unknown variant `free`, expected \
                 `on_demand` or `spot`",
            ),
            (
                json!({"instance_type": "g6.xlarge", "node_pool": "gpu"}),
                "has a rung `g6.xlarge` that EC2 cannot launch: unknown field `node_pool`, expected one \
                 of `instance_type`, `zone`, `market`",
            ),
        ] {
            let error = admitted(json!([{"instance_type": "g6.xlarge"}, rung])).unwrap_err();
            assert_eq!(error, format!("`ladder` {problem}; {EXAMPLE}"));
        }
    }
}
