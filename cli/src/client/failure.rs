//! The server's errors as failures of the command.

use reqwest::StatusCode;
use serde_json::Value;

use super::{Address, Key, gateway};
use crate::exit::{Failure, Kind, ServerError};

/// The failure behind an error status.
pub(super) fn of_response(
    status: StatusCode,
    body: &[u8],
    address: &Address,
    key: &Key,
    verbose: bool,
    request_id: Option<String>,
) -> Failure {
    if let Key::Missing(why) = key
        && status == StatusCode::UNAUTHORIZED
    {
        return Kind::Denied.because(why);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(error) = body.get("error").filter(|error| error.get("message").is_some()) else {
        if let Some(failure) = gateway::failure(status, &body, address) {
            return failure;
        }
        return kind_of(Some(status), "").because(format!(
            "{address} answered {status}, but does not look like Diogenes; check --url"
        ));
    };
    of_error(error, Some(status), verbose, request_id)
}

/// The failure behind an error event of a stream: the inside of OpenAI's error object.
pub(crate) fn of_event(error: &Value, verbose: bool) -> Failure {
    of_error(error, None, verbose, None)
}

fn of_error(
    error: &Value,
    status: Option<StatusCode>,
    verbose: bool,
    request_id: Option<String>,
) -> Failure {
    // Inference servers write the code as a number, or not at all.
    let code = match error.get("code") {
        Some(Value::String(code)) => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    let message =
        error.get("message").and_then(Value::as_str).unwrap_or("an error without a message");
    let kind = kind_of(status, code.as_deref().unwrap_or_default());
    let error = ServerError { message: message.to_owned(), code, request_id, verbose };
    Failure { kind, error: error.into() }
}

fn kind_of(status: Option<StatusCode>, code: &str) -> Kind {
    match (status.map(|status| status.as_u16()), code) {
        (_, code) if code.starts_with("model_failed_") => Kind::ModelFailed,
        (_, "shutting_down" | "store_unavailable") => Kind::Unavailable,
        (Some(401 | 403), _)
        | (None, "401" | "403" | "insufficient_scope" | "model_not_allowed") => Kind::Denied,
        (None, code) if code.ends_with("_api_key") => Kind::Denied,
        (Some(404), _) | (None, "404") => Kind::NotFound,
        (None, code) if code.ends_with("not_found") => Kind::NotFound,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use diogenes_core::secret::Secret;

    use super::*;

    fn response(status: u16, body: &str, verbose: bool) -> (Kind, String) {
        let failure = of_response(
            StatusCode::from_u16(status).expect("a status"),
            body.as_bytes(),
            &"http://h".parse().expect("a URL"),
            &Key::Given(Secret::new("x")),
            verbose,
            None,
        );
        (failure.kind, failure.error.to_string())
    }

    #[test]
    fn each_error_has_its_exit_code() {
        for (status, code, kind) in [
            (401, "invalid_api_key", Kind::Denied),
            (403, "insufficient_scope", Kind::Denied),
            (404, "model_not_found", Kind::NotFound),
            (404, "key_not_found", Kind::NotFound),
            (503, "model_failed_exited", Kind::ModelFailed),
            (503, "model_warming", Kind::Other),
            (503, "shutting_down", Kind::Unavailable),
            (503, "store_unavailable", Kind::Unavailable),
            (409, "model_read_only", Kind::Other),
            (500, "internal_error", Kind::Other),
        ] {
            let body =
                format!(r#"{{"error":{{"message":"m","type":"t","param":null,"code":"{code}"}}}}"#);
            assert_eq!(response(status, &body, false), (kind, "m".into()), "{code}");
            assert_eq!(response(status, &body, true), (kind, format!("m (code `{code}`)")));
        }
    }

    #[test]
    fn an_event_has_no_status_and_the_same_exit_code() {
        for (code, kind) in [
            ("model_failed_boot_timeout", Kind::ModelFailed),
            ("revoked_api_key", Kind::Denied),
            ("model_not_found", Kind::NotFound),
            ("upstream_cut", Kind::Other),
        ] {
            let error = serde_json::json!({"message": "m", "code": code});
            assert_eq!(of_event(&error, false).kind, kind, "{code}");
        }
        let numeric = serde_json::json!({"message": "m", "code": 400});
        assert_eq!(of_event(&numeric, true).error.to_string(), "m (code `400`)");
    }

    #[test]
    fn an_answer_without_an_error_object_is_not_from_diogenes() {
        for body in ["", "<html>", "{}", r#"{"error":"nope"}"#] {
            let (kind, text) = response(404, body, false);
            assert_eq!(kind, Kind::NotFound);
            assert!(text.contains("does not look like Diogenes"), "{text}");
        }
    }
}
