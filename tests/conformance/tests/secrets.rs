//! Where secrets are kept: on a machine, and in parameters of AWS.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

use std::sync::{Arc, Mutex};

use diogenes_conformance::secrets::Fixture;
use diogenes_core::secret::SecretRef;

mod machine {
    use diogenes_backends::engine::secrets::MachineSecrets;

    use super::{Arc, Fixture, SecretRef};

    async fn file() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let reference = SecretRef::File(path.to_str().unwrap().to_owned());
        let keep = move |secret: Option<&str>| match secret {
            Some(secret) => std::fs::write(&path, secret).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        };
        let elsewhere = [SecretRef::Ssm("/diogenes/prod/token".into())];
        Fixture::new(Arc::new(MachineSecrets), reference, keep, elsewhere).keeping(dir)
    }

    diogenes_conformance::secrets_suite!(file);
}

mod parameter {
    use aws_sdk_ssm::Client;
    use aws_sdk_ssm::error::ErrorMetadata;
    use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
    use aws_sdk_ssm::types::Parameter;
    use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
    use diogenes_backends::aws::ssm::ParameterSecrets;

    use super::{Arc, Fixture, Mutex, SecretRef};

    const NAME: &str = "/diogenes/prod/providers/openai";

    async fn parameter() -> Fixture {
        let value: Arc<Mutex<Option<String>>> = Arc::default();
        let kept = value.clone();
        let rule = mock!(Client::get_parameter).then_compute_response(move |request| {
            let value = kept.lock().unwrap().clone().filter(|_| request.name() == Some(NAME));
            match value {
                Some(value) => {
                    let parameter = Parameter::builder().value(value).build();
                    let output = GetParameterOutput::builder().parameter(parameter);
                    MockResponse::Output(output.build())
                }
                None => MockResponse::Error(GetParameterError::generic(
                    ErrorMetadata::builder().code("ParameterNotFound").build(),
                )),
            }
        });
        let client = mock_client!(aws_sdk_ssm, RuleMode::MatchAny, [&rule]);
        let source = ParameterSecrets::new(client, "/diogenes/prod/providers/*".into());
        let keep = move |secret: Option<&str>| *value.lock().unwrap() = secret.map(str::to_owned);
        let elsewhere = [
            SecretRef::Env("OPENAI_API_KEY".into()),
            SecretRef::File("/run/secrets/openai".into()),
        ];
        Fixture::new(Arc::new(source), SecretRef::Ssm(NAME.into()), keep, elsewhere)
    }

    diogenes_conformance::secrets_suite!(parameter);
}
