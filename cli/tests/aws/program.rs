use std::process::{Command, Output};

use serde_json::Value;

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The check of this name in `doctor`'s report, the worst if there are several.
    pub(crate) fn check(&self, name: &str) -> Value {
        let report = self.json();
        let checks = report["checks"].as_array().unwrap().clone();
        let rank = |check: &Value| match check["status"].as_str().unwrap() {
            "failed" => 2,
            "warning" => 1,
            _ => 0,
        };
        let of_name = checks.into_iter().filter(|check| check["name"] == name);
        of_name.max_by_key(rank).unwrap_or_else(|| panic!("no check `{name}` in {report:#}"))
    }
}

/// Runs `diogenes` with nothing of AWS but what `environment` says.
pub(crate) fn diogenes(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    program(env!("CARGO_BIN_EXE_diogenes"), arguments, environment)
}

/// The same for another program.
pub(crate) fn program(path: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", home.path())
        .env("AWS_CONFIG_FILE", home.path().join("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", home.path().join("credentials"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// The environment of an operator with credentials, whose AWS is at `endpoint`.
pub(crate) fn operator(endpoint: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", endpoint),
    ]
}
