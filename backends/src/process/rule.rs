//! What one machine asks of a model.

use diogenes_core::fleet::{ModelSpec, SpecError, SpecRule};
use diogenes_core::secret::SecretRef;

/// What a machine of one's own asks of a model: it is the only place, and reads no SSM parameters.
pub const RULE: SpecRule = SpecRule { admit, has_places: false, has_parameters: false };

fn admit(spec: ModelSpec) -> Result<ModelSpec, SpecError> {
    spec.validate_port()?;
    if spec.port.is_some() && spec.max_replicas > 1 {
        let problem = "is fixed, so only one replica can listen on it; pass `{port}` to the \
                       command instead, or set `max_replicas = 1`";
        return Err(SpecError { field: "port", problem: problem.into() });
    }
    if !spec.ladder.is_empty() {
        let problem = "is for deployments on AWS: here every model runs on this machine; leave it \
                       out";
        return Err(SpecError { field: "ladder", problem: problem.into() });
    }
    let mut references =
        spec.env.iter().filter_map(|(name, value)| Some((name, value.reference()?)));
    let parameter = references.find_map(|(name, reference)| match reference {
        SecretRef::Ssm(_) => Some((name, reference)),
        SecretRef::Env(_) | SecretRef::File(_) => None,
    });
    if let Some((name, reference)) = parameter {
        let problem = format!(
            "takes `{name}` from {reference}, which only an instance on AWS can read; use \
             {{\"env\": \"…\"}} or {{\"file\": \"…\"}}"
        );
        return Err(SpecError { field: "env", problem });
    }
    Ok(spec)
}
