use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::super::function::{ACCOUNT, REGION};
use super::super::pool::request_id;
use super::response::is_binary;

/// The id of the API.
pub(super) const API: &str = "e2e0000000";

/// Headers that end at API Gateway.
const DROPPED: &[&str] = &["connection", "content-length", "expect", "te", "transfer-encoding"];

/// What API Gateway knows of a request: `$context` and `requestContext`.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) request_id: String,
    stage: String,
    method: String,
    /// Without the stage.
    path: String,
    resource_path: String,
    source: SocketAddr,
    user_agent: Option<String>,
    at: Timestamp,
    /// What the authorizer says.
    pub(super) authorizer: Option<BTreeMap<String, String>>,
}

impl Context {
    /// What [`Context::field`] knows.
    pub(super) const FIELDS: &[&str] = &[
        "requestId",
        "extendedRequestId",
        "stage",
        "httpMethod",
        "path",
        "resourcePath",
        "apiId",
        "accountId",
        "identity.sourceIp",
    ];

    pub(super) fn new(parts: &Parts, stage: &str, path: &str, source: SocketAddr) -> Self {
        let agent = parts.headers.get("user-agent").and_then(|agent| agent.to_str().ok());
        Self {
            request_id: request_id(),
            stage: stage.into(),
            method: parts.method.to_string(),
            path: path.into(),
            resource_path: String::new(),
            source,
            user_agent: agent.map(str::to_owned),
            at: Timestamp::now(),
            authorizer: None,
        }
    }

    /// Adds the resource that was found.
    pub(super) fn found(&mut self, resource: &str) {
        resource.clone_into(&mut self.resource_path);
    }

    /// The ARN of the method, which policies speak of.
    pub(super) fn method_arn(&self) -> String {
        let (stage, method, path) = (&self.stage, &self.method, &self.path);
        format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API}/{stage}/{method}{path}")
    }

    /// A variable of `$context`.
    pub(super) fn field(&self, name: &str) -> String {
        match name {
            "requestId" | "extendedRequestId" => self.request_id.clone(),
            "stage" => self.stage.clone(),
            "httpMethod" => self.method.clone(),
            "path" => format!("/{}{}", self.stage, self.path),
            "resourcePath" => self.resource_path.clone(),
            "apiId" => API.to_owned(),
            "accountId" => ACCOUNT.to_owned(),
            "identity.sourceIp" => self.source.ip().to_string(),
            _ => String::new(),
        }
    }

    /// A variable of `$context.authorizer`.
    pub(super) fn authorizer_field(&self, name: &str) -> String {
        self.authorizer.as_ref().and_then(|fields| fields.get(name)).cloned().unwrap_or_default()
    }

    fn json(&self) -> Value {
        let mut context = json!({
            "accountId": ACCOUNT,
            "apiId": API,
            "deploymentId": "d00000",
            "domainName": format!("{API}.execute-api.{REGION}.amazonaws.com"),
            "domainPrefix": API,
            "extendedRequestId": self.request_id,
            "httpMethod": self.method,
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "sourceIp": self.source.ip().to_string(),
                "user": null,
                "userAgent": self.user_agent,
                "userArn": null,
            },
            "path": format!("/{}{}", self.stage, self.path),
            "protocol": "HTTP/1.1",
            "requestId": self.request_id,
            "requestTime": self.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": self.at.as_millisecond(),
            "resourceId": "r00000",
            "resourcePath": self.resource_path,
            "stage": self.stage,
        });
        if let (Some(fields), Some(context)) = (&self.authorizer, context.as_object_mut()) {
            context.insert("authorizer".into(), json!(fields));
        }
        context
    }
}

/// The event of a proxy integration
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>).
pub(super) fn proxy_event(
    parts: &Parts,
    body: &Bytes,
    context: &Context,
    parameters: &BTreeMap<String, String>,
    binary_media_types: &[String],
) -> Bytes {
    let (single, multi) = headers(&parts.headers, context);
    let (query, multi_query) = query(parts.uri.query().unwrap_or_default());
    let parameters: Map<String, Value> =
        parameters.iter().map(|(name, value)| (name.clone(), decode(value).into())).collect();
    let content_type = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let binary =
        !body.is_empty() && is_binary(content_type.unwrap_or_default(), binary_media_types);
    let text = match (body.is_empty(), binary) {
        (true, _) => None,
        (false, true) => Some(BASE64_STANDARD.encode(body)),
        // What is not UTF-8 gets lost.
        (false, false) => Some(String::from_utf8_lossy(body).into_owned()),
    };
    let or_null = |map: Map<String, Value>| if map.is_empty() { Value::Null } else { map.into() };
    let event = json!({
        "resource": context.resource_path,
        // As it came, without the stage.
        "path": context.path,
        "httpMethod": context.method,
        "headers": single,
        "multiValueHeaders": multi,
        "queryStringParameters": or_null(query),
        "multiValueQueryStringParameters": or_null(multi_query),
        "pathParameters": or_null(parameters),
        "stageVariables": null,
        "requestContext": context.json(),
        "body": text,
        "isBase64Encoded": binary,
    });
    event.to_string().into()
}

/// The headers, of each name the last value and all values, with those that API Gateway adds.
fn headers(headers: &HeaderMap, context: &Context) -> (Map<String, Value>, Map<String, Value>) {
    let mut all: HeaderMap = headers.clone();
    for name in DROPPED {
        all.remove(*name);
    }
    let source = context.source.ip().to_string();
    let via = match all.get("x-forwarded-for").and_then(|via| via.to_str().ok()) {
        Some(via) => format!("{via}, {source}"),
        None => source,
    };
    let trace = context.request_id.replace('-', "");
    for (name, value) in [
        ("x-forwarded-for", via),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
        ("x-amzn-trace-id", format!("Root=1-{}-{}", &trace[..8], &trace[8..])),
    ] {
        all.insert(name, HeaderValue::from_str(&value).expect("a header in ASCII"));
    }
    let mut multi = Map::new();
    for (name, value) in &all {
        let value = Value::from(String::from_utf8_lossy(value.as_bytes()));
        let values = multi.entry(name.as_str()).or_insert_with(|| json!([]));
        values.as_array_mut().expect("a list").push(value);
    }
    (last_of_each(&multi), multi)
}

/// The decoded query, of each name the last value and all values.
fn query(query: &str) -> (Map<String, Value>, Map<String, Value>) {
    let url = Url::parse(&format!("http://localhost/?{query}")).expect("a query of a request");
    let mut multi = Map::new();
    for (name, value) in url.query_pairs() {
        let values = multi.entry(name.into_owned()).or_insert_with(|| json!([]));
        values.as_array_mut().expect("a list").push(value.into());
    }
    (last_of_each(&multi), multi)
}

fn last_of_each(multi: &Map<String, Value>) -> Map<String, Value> {
    let last = |values: &Value| values.as_array().and_then(|values| values.last()).cloned();
    multi.iter().map(|(name, values)| (name.clone(), last(values).unwrap_or_default())).collect()
}

/// A path's part without its `%XX`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%');
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
