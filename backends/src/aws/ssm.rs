//! Secrets in parameters of AWS Systems Manager.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use diogenes_core::ports::SecretSource;
use diogenes_core::secret::{Secret, SecretRef};

/// Reads parameters, decrypted.
#[derive(Clone, Debug)]
pub struct ParameterSecrets {
    client: Client,
    readable: String,
}

impl ParameterSecrets {
    /// Over a client whose role may read the parameters `readable`, such as
    /// `/diogenes/prod/providers/*`; that is told where it may not read another.
    pub fn new(client: Client, readable: String) -> Self {
        Self { client, readable }
    }

    /// How long a call may take: what waits for it has a caller of its own.
    pub fn timeouts() -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(3))
            .build()
    }

    /// A parameter by its full name.
    ///
    /// # Errors
    /// What is wrong with it, to stand behind its name.
    pub async fn parameter(&self, name: &str) -> Result<Secret, String> {
        let call = self.client.get_parameter().name(name).with_decryption(true);
        let error = match call.send().await {
            Ok(output) => {
                let value = output.parameter.and_then(|parameter| parameter.value);
                return value.map(Secret::new).ok_or_else(|| "has no value".into());
            }
            Err(error) => error,
        };
        Err(match error.code() {
            Some("ParameterNotFound") => {
                let region = self.client.config().region().map_or("this region", AsRef::as_ref);
                format!("does not exist in {region}")
            }
            Some("AccessDeniedException") => {
                format!("may not be read; the stack allows `{}`", self.readable)
            }
            _ => format!("cannot be read: {}", DisplayErrorContext(&error)),
        })
    }
}

#[async_trait]
impl SecretSource for ParameterSecrets {
    async fn read(&self, reference: &SecretRef) -> Result<Secret, String> {
        match reference {
            SecretRef::Ssm(name) => self.parameter(name).await,
            SecretRef::Env(_) | SecretRef::File(_) => {
                Err("cannot be read on AWS; keep it in an SSM parameter".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::error::ErrorMetadata;
    use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
    use aws_sdk_ssm::types::Parameter;
    use aws_smithy_mocks::{mock, mock_client};

    use super::*;

    async fn read(client: Client, reference: &SecretRef) -> Result<String, String> {
        let secrets = ParameterSecrets::new(client, "/diogenes/prod/providers/*".into());
        secrets.read(reference).await.map(|secret| secret.expose().to_owned())
    }

    fn refusing(code: &'static str) -> Client {
        let rule = mock!(Client::get_parameter).then_error(move || {
            GetParameterError::generic(ErrorMetadata::builder().code(code).build())
        });
        mock_client!(aws_sdk_ssm, [&rule])
    }

    #[tokio::test]
    async fn a_parameter_is_read_decrypted() {
        let name = "/diogenes/prod/providers/openai";
        let rule = mock!(Client::get_parameter)
            .match_requests(move |request| {
                request.name() == Some(name) && request.with_decryption() == Some(true)
            })
            .then_output(|| {
                let parameter = Parameter::builder().value("sk-1").build();
                GetParameterOutput::builder().parameter(parameter).build()
            });
        let client = mock_client!(aws_sdk_ssm, [&rule]);
        assert_eq!(read(client, &SecretRef::Ssm(name.into())).await.as_deref(), Ok("sk-1"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said() {
        let reference = SecretRef::Ssm("/other".into());
        for (code, problem) in [
            ("ParameterNotFound", "does not exist in "),
            (
                "AccessDeniedException",
                "may not be read; the stack allows `/diogenes/prod/providers/*`",
            ),
            ("ThrottlingException", "cannot be read: "),
        ] {
            let error = read(refusing(code), &reference).await.unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
        let here = SecretRef::Env("KEY".into());
        let error = read(refusing("ParameterNotFound"), &here).await.unwrap_err();
        assert!(error.contains("SSM parameter"), "{error}");
    }
}
