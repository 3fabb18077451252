//! What one machine asks of a model.

use diogenes_core::fleet::{ModelSpec, SpecError};
use diogenes_core::secret::SecretRef;

/// Refuses what child processes of `diogenes serve` could not do justice to, beyond
/// [`ModelSpec::validate`].
pub fn check(spec: &ModelSpec) -> Result<(), SpecError> {
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
    Ok(())
}
