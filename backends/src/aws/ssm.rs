//! Secrets in parameters of AWS Systems Manager.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_ssm::types::ParameterType;
use diogenes_core::hex;
use diogenes_core::ports::{Entropy, SecretSource};
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
        self.find(name).await?.ok_or_else(|| {
            let region = self.client.config().region().map_or("this region", AsRef::as_ref);
            format!("does not exist in {region}")
        })
    }

    /// The same for one that may not be there.
    async fn find(&self, name: &str) -> Result<Option<Secret>, String> {
        let call = self.client.get_parameter().name(name).with_decryption(true);
        let error = match call.send().await {
            Ok(output) => {
                let value = output.parameter.and_then(|parameter| parameter.value);
                return value.map(Secret::new).map(Some).ok_or_else(|| "has no value".into());
            }
            Err(error) => error,
        };
        match error.code() {
            Some("ParameterNotFound") => Ok(None),
            Some("AccessDeniedException") => {
                Err(format!("may not be read; the stack allows `{}`", self.readable))
            }
            _ => Err(format!("cannot be read: {}", DisplayErrorContext(&error))),
        }
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

/// Secrets of an installation's own. Whoever needs one first makes it, as CloudFormation makes no
/// encrypted parameters; of many who make one at once, all get the one that stands.
pub struct MadeSecrets {
    parameters: ParameterSecrets,
    entropy: Arc<dyn Entropy>,
    description: &'static str,
}

impl MadeSecrets {
    /// Makes what is missing of random bytes from here. Operators who find it read `description`.
    pub fn new(
        parameters: ParameterSecrets,
        entropy: Arc<dyn Entropy>,
        description: &'static str,
    ) -> Self {
        Self { parameters, entropy, description }
    }

    async fn make(&self, name: &str) -> Result<Secret, String> {
        let mut random = [0; 32];
        self.entropy.fill(&mut random);
        let text = hex(&random);
        let made = self
            .parameters
            .client
            .put_parameter()
            .name(name)
            .r#type(ParameterType::SecureString)
            .value(&text)
            .description(self.description)
            .overwrite(false)
            .send()
            .await;
        match made {
            Ok(_) => Ok(Secret::new(text)),
            Err(error) => match error.code() {
                Some("ParameterAlreadyExists") => self.parameters.parameter(name).await,
                Some("AccessDeniedException") => {
                    Err("does not exist, and may not be made by this function".into())
                }
                _ => Err(format!("cannot be made: {}", DisplayErrorContext(&error))),
            },
        }
    }
}

#[async_trait]
impl SecretSource for MadeSecrets {
    async fn read(&self, reference: &SecretRef) -> Result<Secret, String> {
        match reference {
            SecretRef::Ssm(name) => match self.parameters.find(name).await? {
                Some(secret) => Ok(secret),
                None => self.make(name).await,
            },
            SecretRef::Env(_) | SecretRef::File(_) => self.parameters.read(reference).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::error::ErrorMetadata;
    use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
    use aws_sdk_ssm::operation::put_parameter::{PutParameterError, PutParameterOutput};
    use aws_sdk_ssm::types::Parameter;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use diogenes_core::testing::SeededEntropy;

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

    fn made(client: Client) -> MadeSecrets {
        let parameters = ParameterSecrets::new(client, "/diogenes/prod/webhook-key".into());
        MadeSecrets::new(parameters, Arc::new(SeededEntropy::new(1)), "for the test")
    }

    fn missing() -> GetParameterError {
        let code = ErrorMetadata::builder().code("ParameterNotFound").build();
        GetParameterError::generic(code)
    }

    #[tokio::test]
    async fn what_is_missing_is_made_encrypted_and_never_overwritten() {
        let get = mock!(Client::get_parameter).then_error(missing);
        let put = mock!(Client::put_parameter)
            .match_requests(|request| {
                request.r#type() == Some(&ParameterType::SecureString)
                    && request.overwrite() == Some(false)
                    && request.value().is_some_and(|value| value.len() == 64)
            })
            .then_output(|| PutParameterOutput::builder().build());
        let client = mock_client!(aws_sdk_ssm, RuleMode::MatchAny, [&get, &put]);
        let reference = SecretRef::Ssm("/diogenes/prod/webhook-key".into());
        let secret = made(client).read(&reference).await.unwrap();
        assert_eq!((secret.expose().len(), put.num_calls()), (64, 1));
    }

    #[tokio::test]
    async fn where_somebody_else_was_faster_the_secret_is_theirs() {
        let first = mock!(Client::get_parameter).then_error(missing);
        let put = mock!(Client::put_parameter).then_error(|| {
            let code = ErrorMetadata::builder().code("ParameterAlreadyExists").build();
            PutParameterError::generic(code)
        });
        let second = mock!(Client::get_parameter).then_output(|| {
            let parameter = Parameter::builder().value("theirs").build();
            GetParameterOutput::builder().parameter(parameter).build()
        });
        let client = mock_client!(aws_sdk_ssm, RuleMode::Sequential, [&first, &put, &second]);
        let reference = SecretRef::Ssm("/diogenes/prod/webhook-key".into());
        assert_eq!(made(client).read(&reference).await.unwrap().expose(), "theirs");
    }
}
