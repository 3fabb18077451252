//! Errors in the shapes of both APIs, and the one table of their types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The class of an error; Anthropic's list, which OpenAI's is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is at fault.
    InvalidRequest,
    /// The key is missing or wrong.
    Authentication,
    /// There is no money left.
    Billing,
    /// The key may not do this.
    Permission,
    /// There is no such model or path.
    NotFound,
    /// The body is too large.
    RequestTooLarge,
    /// A limit was reached.
    RateLimit,
    /// The answer took too long.
    Timeout,
    /// The server has too much to do, or is not ready yet; a retry may help.
    Overloaded,
    /// The server failed.
    Api,
}

/// The table: type, status, Anthropic's name, OpenAI's name.
const TYPES: &[(ErrorType, u16, &str, &str)] = &[
    (ErrorType::InvalidRequest, 400, "invalid_request_error", "invalid_request_error"),
    (ErrorType::Authentication, 401, "authentication_error", "authentication_error"),
    (ErrorType::Billing, 402, "billing_error", "insufficient_quota"),
    (ErrorType::Permission, 403, "permission_error", "permission_error"),
    (ErrorType::NotFound, 404, "not_found_error", "invalid_request_error"),
    (ErrorType::RequestTooLarge, 413, "request_too_large", "invalid_request_error"),
    (ErrorType::RateLimit, 429, "rate_limit_error", "rate_limit_error"),
    (ErrorType::Api, 500, "api_error", "server_error"),
    (ErrorType::Timeout, 504, "timeout_error", "server_error"),
    (ErrorType::Overloaded, 529, "overloaded_error", "server_error"),
];

impl ErrorType {
    /// The type of an error with this status.
    pub fn of_status(status: u16) -> Self {
        match (TYPES.iter().find(|(_, known, ..)| *known == status), status) {
            (Some((kind, ..)), _) => *kind,
            (None, 408) => Self::Timeout,
            (None, 503) => Self::Overloaded,
            (None, 500..) => Self::Api,
            (None, _) => Self::InvalidRequest,
        }
    }

    /// The type by a name that Anthropic, OpenAI or vLLM gives it; [`Api`](Self::Api) for any
    /// other.
    pub fn of_name(name: &str) -> Self {
        let known =
            TYPES.iter().find(|(_, _, anthropic, openai)| [*anthropic, *openai].contains(&name));
        match (known, name) {
            (Some((kind, ..)), _) => *kind,
            (None, "BadRequestError") => Self::InvalidRequest,
            (None, "NotFoundError") => Self::NotFound,
            (None, "rate_limit_exceeded" | "requests" | "tokens") => Self::RateLimit,
            (None, _) => Self::Api,
        }
    }

    /// Its status, for an error that came without one in the middle of a stream.
    pub fn status(self) -> u16 {
        self.row().map_or(500, |(_, status, ..)| *status)
    }

    /// Its name in Messages.
    pub fn messages_name(self) -> &'static str {
        self.row().map_or("api_error", |(_, _, name, _)| *name)
    }

    /// Its name in Chat Completions.
    pub fn chat_name(self) -> &'static str {
        self.row().map_or("server_error", |(.., name)| *name)
    }

    fn row(self) -> Option<&'static (Self, u16, &'static str, &'static str)> {
        TYPES.iter().find(|(kind, ..)| *kind == self)
    }
}

/// The status for a caller of Chat Completions: one of HTTP's own instead of Anthropic's 529.
pub fn chat_status(status: u16) -> u16 {
    if status == 529 { 503 } else { status }
}

/// An error as both APIs tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorObject {
    /// The class of the error.
    pub kind: ErrorType,
    /// What happened.
    pub message: String,
    /// The field at fault. Messages names it in the message alone.
    pub param: Option<String>,
    /// What happened, for programs. Messages has no field for it.
    pub code: Option<String>,
}

impl ErrorObject {
    /// Reads the body of an error, or the data of an error event, of either API. The status
    /// decides the type where there is one. None if it is not an error object.
    pub fn read(body: &[u8], status: Option<u16>) -> Option<Self> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let Detail { kind, message, param, code } = match body.error {
            Some(detail) => detail,
            // vLLM's older form has no envelope.
            None if body.object.as_deref() == Some("error") => body.detail,
            None => return None,
        };
        let code_status =
            code.as_ref().and_then(Value::as_u64).and_then(|code| code.try_into().ok());
        let kind = match (status.or(code_status.filter(|code| (400..600).contains(code))), kind) {
            (Some(status), _) => ErrorType::of_status(status),
            (None, Some(name)) => ErrorType::of_name(&name),
            (None, None) => ErrorType::Api,
        };
        let code = code.and_then(|code| code.as_str().map(str::to_owned));
        Some(Self { kind, message: message?, param, code })
    }

    /// The body of an error of Messages.
    pub fn to_messages(&self, request_id: Option<&str>) -> String {
        let Self { kind, message, .. } = self;
        let error = MessagesDetail { r#type: kind.messages_name(), message };
        text(&MessagesBody { r#type: "error", error, request_id })
    }

    /// The body of an error of Chat Completions.
    pub fn to_chat(&self) -> String {
        let Self { kind, message, param, code } = self;
        let code = code.as_deref().unwrap_or(kind.messages_name());
        let param = param.as_deref();
        text(&ChatBody { error: ChatDetail { message, r#type: kind.chat_name(), param, code } })
    }
}

fn text(body: &impl Serialize) -> String {
    // Texts alone: nothing in it can fail.
    serde_json::to_string(body).unwrap_or_default()
}

#[derive(Deserialize)]
struct Body {
    error: Option<Detail>,
    object: Option<String>,
    #[serde(flatten)]
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    param: Option<String>,
    code: Option<Value>,
}

#[derive(Serialize)]
struct MessagesBody<'a> {
    r#type: &'static str,
    error: MessagesDetail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct MessagesDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct ChatBody<'a> {
    error: ChatDetail<'a>,
}

#[derive(Serialize)]
struct ChatDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value, status: Option<u16>) -> Option<ErrorObject> {
        ErrorObject::read(body.to_string().as_bytes(), status)
    }

    #[test]
    fn a_status_has_its_type_and_a_type_its_names() {
        for (status, messages, chat) in [
            (400, "invalid_request_error", "invalid_request_error"),
            (401, "authentication_error", "authentication_error"),
            (402, "billing_error", "insufficient_quota"),
            (403, "permission_error", "permission_error"),
            (404, "not_found_error", "invalid_request_error"),
            (409, "invalid_request_error", "invalid_request_error"),
            (413, "request_too_large", "invalid_request_error"),
            (429, "rate_limit_error", "rate_limit_error"),
            (500, "api_error", "server_error"),
            (502, "api_error", "server_error"),
            (503, "overloaded_error", "server_error"),
            (504, "timeout_error", "server_error"),
            (529, "overloaded_error", "server_error"),
        ] {
            let kind = ErrorType::of_status(status);
            assert_eq!((kind.messages_name(), kind.chat_name()), (messages, chat), "{status}");
            assert_eq!(ErrorType::of_name(messages), kind);
        }
        assert_eq!(ErrorType::Overloaded.status(), 529);
        assert_eq!((chat_status(529), chat_status(429)), (503, 429));
    }

    #[test]
    fn errors_of_either_api_are_read_and_written() {
        let anthropic = json!({"type": "error", "error":
            {"type": "overloaded_error", "message": "busy"}, "request_id": "r"});
        let error = read(&anthropic, None).unwrap();
        assert_eq!(error.kind, ErrorType::Overloaded);
        assert_eq!(
            error.to_messages(Some("r")),
            serde_json::to_string(&MessagesBody {
                r#type: "error",
                error: MessagesDetail { r#type: "overloaded_error", message: "busy" },
                request_id: Some("r"),
            })
            .unwrap()
        );
        let chat: Value = serde_json::from_str(&error.to_chat()).unwrap();
        assert_eq!(
            chat,
            json!({"error": {"message": "busy", "type": "server_error",
            "param": null, "code": "overloaded_error"}})
        );

        let openai = json!({"error": {"message": "no", "type": "invalid_request_error",
            "param": "messages", "code": "too_long"}});
        let error = read(&openai, Some(413)).unwrap();
        assert_eq!(error.kind, ErrorType::RequestTooLarge);
        assert_eq!(
            (error.param.as_deref(), error.code.as_deref()),
            (Some("messages"), Some("too_long"))
        );
        let messages: Value = serde_json::from_str(&error.to_messages(None)).unwrap();
        assert_eq!(
            messages,
            json!({"type": "error", "error": {"type": "request_too_large", "message": "no"}})
        );
    }

    #[test]
    fn errors_of_engines_are_read() {
        for (body, kind) in [
            (
                json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}),
                ErrorType::InvalidRequest,
            ),
            (
                json!({"error": {"message": "m", "type": "BadRequestError", "code": 400}}),
                ErrorType::InvalidRequest,
            ),
            (json!({"error": {"message": "m", "type": "NotFoundError"}}), ErrorType::NotFound),
            (
                json!({"error": {"message": "m", "type": "unavailable_error", "code": 503}}),
                ErrorType::Overloaded,
            ),
            (json!({"error": {"message": "m", "code": "rate_limit"}}), ErrorType::Api),
        ] {
            assert_eq!(read(&body, None).unwrap().kind, kind, "{body}");
        }
        for body in [
            json!({}),
            json!({"error": null}),
            json!({"error": {}}),
            json!({"message": "m"}),
            json!([]),
        ] {
            assert_eq!(read(&body, None), None, "{body}");
        }
    }
}
