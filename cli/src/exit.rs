//! Exit codes: one per kind of failure, documented in `diogenes --help`.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

/// What kind of failure ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Anything else.
    Other = 1,
    /// The configuration is wrong. Clap uses 2 for wrong flags too.
    Config = 2,
    /// The data directory or the database in it cannot be used.
    DataDir = 3,
    /// The server cannot be reached, or the port is in use.
    Unavailable = 4,
    /// The key is missing or refused.
    Denied = 5,
    /// There is no such model, route, provider, key, project or budget.
    NotFound = 6,
    /// The model could not be started.
    ModelFailed = 7,
    /// `doctor` or `provider check` found a problem.
    Unhealthy = 8,
    /// A job that was waited for failed or was cancelled.
    JobFailed = 9,
    /// An eval run is below a threshold, or worse than another one.
    BelowThreshold = 100,
    /// Nobody can tell what an eval run or a comparison says.
    Inconclusive = 101,
}

/// A failure on its way to `main`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) error: anyhow::Error,
}

/// An error as the server described it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}{}", details(self))]
pub(crate) struct ServerError {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    /// Whether people are shown the code and the request id too.
    pub(crate) verbose: bool,
}

fn details(error: &ServerError) -> String {
    let code = error.code.as_ref().map(|code| format!("code `{code}`"));
    let request = error.request_id.as_ref().map(|id| format!("request {id}"));
    let parts: Vec<String> = code.into_iter().chain(request).collect();
    if !error.verbose || parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(", "))
}

impl Failure {
    /// Whether somebody else had changed what was to be changed.
    pub(crate) fn is_precondition(&self) -> bool {
        let server = self.error.downcast_ref::<ServerError>();
        server.is_some_and(|error| error.code.as_deref() == Some("precondition_failed"))
    }

    /// Whether the server takes no body of that size.
    pub(crate) fn is_body_too_large(&self) -> bool {
        let server = self.error.downcast_ref::<ServerError>();
        server.is_some_and(|error| error.code.as_deref() == Some("body_too_large"))
    }

    /// The failure for programs: what `-o json` and `-o yaml` print instead of a line of text.
    pub(crate) fn to_value(&self) -> Value {
        let (kind, exit_code) = (self.kind, self.kind as u8);
        match self.error.downcast_ref::<ServerError>() {
            Some(server) => json!({"error": {
                "message": server.message,
                "kind": kind,
                "exit_code": exit_code,
                "code": server.code,
                "request_id": server.request_id,
            }}),
            None => json!({"error": {
                "message": format!("{:#}", self.error),
                "kind": kind,
                "exit_code": exit_code,
            }}),
        }
    }
}

impl Kind {
    /// Makes a failure of this kind out of an error, for `map_err`.
    pub(crate) fn failure(self) -> impl Fn(anyhow::Error) -> Failure {
        move |error| Failure { kind: self, error }
    }

    /// A failure of this kind with a message.
    pub(crate) fn because(self, message: impl Into<String>) -> Failure {
        Failure { kind: self, error: anyhow::anyhow!(message.into()) }
    }

    /// The code that the program exits with.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { kind: Kind::Other, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(verbose: bool) -> Failure {
        let error = ServerError {
            message: "no such model".into(),
            code: Some("model_not_found".into()),
            request_id: Some("req_1".into()),
            verbose,
        };
        Failure { kind: Kind::NotFound, error: error.into() }
    }

    #[test]
    fn programs_get_every_part_of_an_error_and_people_the_parts_they_asked_for() {
        for verbose in [false, true] {
            assert_eq!(
                server_error(verbose).to_value(),
                json!({"error": {"message": "no such model", "kind": "not_found", "exit_code": 6,
                    "code": "model_not_found", "request_id": "req_1"}})
            );
        }
        assert_eq!(server_error(false).error.to_string(), "no such model");
        assert_eq!(
            server_error(true).error.to_string(),
            "no such model (code `model_not_found`, request req_1)"
        );
        assert_eq!(
            Kind::Config.because("wrong").to_value(),
            json!({"error": {"message": "wrong", "kind": "config", "exit_code": 2}})
        );
    }
}
