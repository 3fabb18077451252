//! The answers that API Gateway gives by itself.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use regex::{Captures, Regex};
use serde_json::Value;

use super::super::template::{GatewayResponse, TemplateError};
use super::event::Context;
use super::response::{Answer, whole};

/// A refusal: type, status, AWS's name of the error, and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    kind: &'static str,
    status: u16,
    error: &'static str,
    message: Option<String>,
}

impl Refusal {
    const fn new(kind: &'static str, status: u16, error: &'static str) -> Self {
        Self { kind, status, error, message: None }
    }

    fn saying(mut self, message: &str) -> Self {
        self.message = Some(message.into());
        self
    }

    /// No token, or not of the form that is asked for, or the authorizer has said `Unauthorized`.
    pub(super) fn unauthorized() -> Self {
        Self::new("UNAUTHORIZED", 401, "UnauthorizedException").saying("Unauthorized")
    }

    /// The policy does not allow it.
    pub(super) fn denied(explicitly: bool) -> Self {
        let refusal = Self::new("ACCESS_DENIED", 403, "AccessDeniedException");
        if explicitly {
            refusal.saying("User is not authorized to access this resource with an explicit deny")
        } else {
            refusal.saying("User is not authorized to access this resource")
        }
    }

    /// The authorizer could not be asked.
    pub(super) fn authorizer_failure() -> Self {
        Self::new("AUTHORIZER_FAILURE", 500, "AuthorizerFailureException")
    }

    /// The authorizer has failed or talks nonsense.
    pub(super) fn authorizer_configuration() -> Self {
        Self::new("AUTHORIZER_CONFIGURATION_ERROR", 500, "AuthorizerConfigurationException")
    }

    /// There is no such resource or method. With an `Authorization` header API Gateway takes the
    /// request for one that is signed as AWS's own are, and badly.
    pub(super) fn no_route(authorization: Option<&HeaderValue>) -> Self {
        match authorization {
            None => Self::new(
                "MISSING_AUTHENTICATION_TOKEN",
                403,
                "MissingAuthenticationTokenException",
            )
            .saying("Missing Authentication Token"),
            Some(_) => Self::new("INVALID_SIGNATURE", 403, "IncompleteSignatureException")
                .saying("Invalid key=value pair (missing equal-sign) in Authorization header"),
        }
    }

    /// The body is larger than API Gateway or Lambda takes.
    pub(super) fn too_large() -> Self {
        Self::new("REQUEST_TOO_LARGE", 413, "RequestTooLargeException").saying("Request Too Long")
    }

    /// Too many requests at once.
    pub(super) fn throttled() -> Self {
        Self::new("THROTTLED", 429, "TooManyRequestsException").saying("Too Many Requests")
    }

    /// The function takes too long.
    pub(super) fn timeout() -> Self {
        Self::new("INTEGRATION_TIMEOUT", 504, "InternalServerErrorException")
            .saying("Endpoint request timed out")
    }

    /// Lambda does not take the invocation. AWS documents the status
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway-errors.html>), not the type.
    pub(super) fn integration_failure() -> Self {
        Self::new("INTEGRATION_FAILURE", 500, "InternalServerErrorException")
            .saying("Internal server error")
    }

    /// The function has failed, or its answer is malformed. Same source; the type is the one that
    /// LocalStack's authors have seen on AWS.
    pub(super) fn function_failure() -> Self {
        Self::new("DEFAULT_5XX", 502, "InternalServerErrorException")
            .saying("Internal server error")
    }
}

/// The gateway responses of an API.
#[derive(Debug)]
pub(super) struct Refusals(BTreeMap<String, GatewayResponse>);

/// The body that AWS sends if nothing else is configured.
const DEFAULT_TEMPLATE: &str = r#"{"message":$context.error.messageString}"#;

/// All types there are.
const KINDS: &[&str] = &[
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
];

impl Refusals {
    /// Checks that every template and header uses only what is known here.
    pub(super) fn new(
        responses: &BTreeMap<String, GatewayResponse>,
    ) -> Result<Self, TemplateError> {
        for (kind, response) in responses {
            let error = |field: &str, problem: String| TemplateError {
                place: format!("GatewayResponses.{kind}.{field}"),
                problem,
            };
            if !KINDS.contains(&kind.as_str()) {
                return Err(error("", "there is no such gateway response".into()));
            }
            let template = response.template.as_deref().unwrap_or_default();
            let stranger = variables().captures_iter(template).find_map(|found| {
                let whole = found.get(0).map_or("", |whole| whole.as_str());
                let name = found.get(1).map_or("", |name| name.as_str());
                (name.is_empty() || !known(name)).then(|| whole.to_owned())
            });
            if let Some(stranger) = stranger {
                let problem = format!("`{stranger}` is not known; there is no VTL here");
                return Err(error("ResponseTemplates", problem));
            }
            for (name, expression) in &response.headers {
                if literal(expression).is_none() {
                    let problem = format!("`{expression}` of `{name}` is not a 'literal'");
                    return Err(error("ResponseParameters", problem));
                }
            }
        }
        Ok(Self(responses.clone()))
    }

    /// The answer of a refusal.
    pub(super) fn answer(&self, refusal: &Refusal, context: &Context) -> Answer {
        let default = if refusal.status < 500 { "DEFAULT_4XX" } else { "DEFAULT_5XX" };
        let response = self.0.get(refusal.kind).or_else(|| self.0.get(default));
        let status = response.and_then(|response| response.status).unwrap_or(refusal.status);
        let template = response.and_then(|response| response.template.as_deref());
        let body = render(template.unwrap_or(DEFAULT_TEMPLATE), refusal, context);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amzn-requestid", context.request_id.parse().expect("an id in ASCII"));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(refusal.error));
        for (name, expression) in response.into_iter().flat_map(|response| &response.headers) {
            let name: HeaderName = name.parse().expect("a header's name");
            let value = literal(expression).expect("checked").parse().expect("a header's value");
            headers.insert(name, value);
        }
        let mut answer = Response::new(whole(Bytes::from(body)));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        *answer.headers_mut() = headers;
        answer
    }
}

/// `$context.a.b`, or another use of `$` or a directive, without a name.
fn variables() -> Regex {
    let name = "[A-Za-z][A-Za-z0-9_]*";
    Regex::new(&format!(r"\$context\.({name}(?:\.{name})*)|\$[A-Za-z{{!]|#[a-z]+\s*\("))
        .expect("a pattern")
}

/// Whether a variable is known.
fn known(name: &str) -> bool {
    name.starts_with("authorizer.")
        || name.starts_with("error.") && error_field(&name[6..], &Refusal::timeout()).is_some()
        || Context::FIELDS.contains(&name)
}

fn error_field(field: &str, refusal: &Refusal) -> Option<String> {
    match field {
        "message" => Some(refusal.message.clone().unwrap_or_default()),
        "messageString" => Some(Value::from(refusal.message.clone()).to_string()),
        "responseType" => Some(refusal.kind.to_owned()),
        _ => None,
    }
}

/// Replaces the variables. Nothing is quoted but `messageString`; what the authorizer has not
/// said is empty.
fn render(template: &str, refusal: &Refusal, context: &Context) -> String {
    let replace = |found: &Captures<'_>| {
        let name = &found[1];
        match name.split_once('.') {
            Some(("error", field)) => error_field(field, refusal).unwrap_or_default(),
            Some(("authorizer", field)) => context.authorizer_field(field),
            _ => context.field(name),
        }
    };
    variables().replace_all(template, replace).into_owned()
}

/// The text of `'text'`.
fn literal(expression: &str) -> Option<&str> {
    expression.strip_prefix('\'')?.strip_suffix('\'')
}
