use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Protocol;
use super::xml;

/// An error as AWS words it in the protocol of the service that is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    code: Code,
    message: String,
    status: Option<u16>,
    /// Boxed, as a fault is the `Err` of every handler.
    fields: Box<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Code {
    /// The same whatever the service.
    Own(String),
    Denied,
    Throttled,
}

impl Fault {
    /// This code of the service that is called.
    pub fn new(code: &str, message: &str) -> Self {
        Self::of(Code::Own(code.to_owned()), message)
    }

    /// The caller may not do this: `AccessDeniedException`, in EC2 `UnauthorizedOperation`.
    pub fn denied() -> Self {
        Self::of(Code::Denied, "User is not authorized to perform this operation")
    }

    /// Too many calls: `ProvisionedThroughputExceededException` of DynamoDB, `RequestLimitExceeded`
    /// of EC2, `TooManyRequestsException` of Lambda.
    pub fn throttled() -> Self {
        Self::of(Code::Throttled, "Rate exceeded")
    }

    /// EC2 has none of these instances in this zone now.
    pub fn no_capacity() -> Self {
        Self::new(
            "InsufficientInstanceCapacity",
            "We currently do not have sufficient capacity in the Availability Zone you requested.",
        )
    }

    /// The account may not run so many.
    pub fn over_quota() -> Self {
        Self::new(
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows.",
        )
    }

    /// Another HTTP status than the usual one of its code.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// One more field of a JSON error, such as `CancellationReasons`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    fn of(code: Code, message: &str) -> Self {
        Self { code, message: message.to_owned(), status: None, fields: Box::default() }
    }

    /// Its code in this protocol.
    pub(super) fn code(&self, protocol: Protocol) -> &str {
        match (&self.code, protocol) {
            (Code::Own(code), _) => code,
            (Code::Denied, Protocol::Ec2) => "UnauthorizedOperation",
            (Code::Denied, Protocol::Query | Protocol::S3) => "AccessDenied",
            (Code::Denied, Protocol::Json | Protocol::Rest) => "AccessDeniedException",
            (Code::Throttled, Protocol::Ec2) => "RequestLimitExceeded",
            (Code::Throttled, Protocol::Query) => "Throttling",
            (Code::Throttled, Protocol::Json) => "ProvisionedThroughputExceededException",
            (Code::Throttled, Protocol::Rest) => "TooManyRequestsException",
            (Code::Throttled, Protocol::S3) => "SlowDown",
        }
    }

    pub(super) fn answer(&self, protocol: Protocol) -> Answer {
        let code = self.code(protocol);
        let status = self.status.unwrap_or_else(|| status(code, protocol));
        let id = "00000000-0000-4000-8000-000000000000";
        let (escaped, message) = (xml::escape(code), xml::escape(&self.message));
        match protocol {
            Protocol::Json => {
                let mut body = (*self.fields).clone();
                body.insert("__type".to_owned(), json!(format!("com.amazonaws#{code}")));
                body.insert("message".to_owned(), json!(self.message));
                let body = Value::Object(body).to_string();
                Answer::new(status, "application/x-amz-json-1.0", body)
            }
            Protocol::Rest => {
                let mut body = (*self.fields).clone();
                body.insert("Type".to_owned(), json!("User"));
                body.insert("Message".to_owned(), json!(self.message));
                let body = Value::Object(body).to_string();
                Answer::new(status, "application/json", body).header("x-amzn-errortype", code)
            }
            Protocol::S3 => {
                let body = format!(
                    "<Error><Code>{escaped}</Code><Message>{message}</Message>\
                     <RequestId>{id}</RequestId></Error>"
                );
                Answer::new(status, "application/xml", body)
            }
            Protocol::Ec2 => {
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>\
                     <Code>{escaped}</Code><Message>{message}</Message></Error></Errors>\
                     <RequestID>{id}</RequestID></Response>"
                );
                Answer::new(status, "text/xml;charset=UTF-8", body)
            }
            Protocol::Query => {
                let body = format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{escaped}</Code>\
                     <Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
                );
                Answer::new(status, "text/xml", body)
            }
        }
    }
}

/// The statuses of AWS's tables of errors. EC2 answers a lack of capacity with 500, so that SDKs
/// repeat the call.
fn status(code: &str, protocol: Protocol) -> u16 {
    match code {
        "InternalServerError" | "InternalError" | "ServiceException" => 500,
        "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" | "SlowDown" => 503,
        "UnauthorizedOperation" | "AccessDenied" => 403,
        "AccessDeniedException" if protocol == Protocol::Rest => 403,
        "TooManyRequestsException" => 429,
        "ResourceNotFoundException" if protocol == Protocol::Rest => 404,
        "DryRunOperation" => 412,
        _ if code.starts_with("Insufficient") => 500,
        _ => 400,
    }
}
