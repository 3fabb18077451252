use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use super::{dynamodb, s3};

/// How many tags a resource of AWS may have.
const MOST_TAGS: usize = 50;

/// What a call is about, as far as its protocol tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// DynamoDB: the tables, without repeats.
    pub tables: Vec<String>,
    /// DynamoDB: the values of the partition keys that it touches, those of the index where it
    /// reads one. What IAM's `dynamodb:LeadingKeys` compares.
    pub leading_keys: Vec<String>,
    /// DynamoDB: what a transaction does to each of its items.
    pub parts: Vec<Part>,
    /// DynamoDB: the index that a query or a scan reads.
    pub index: Option<String>,
    /// Lambda: the name of the function.
    pub function: Option<String>,
    /// EC2 and other form protocols: every field of the form, such as `InstanceType` or
    /// `TagSpecification.1.Tag.1.Key`. Systems Manager: the texts of the body, such as `Name`. S3:
    /// `Bucket` and `Key`. EventBridge Scheduler: `Group`, `Name`, and `Target` and `Role`, ARNs.
    pub parameters: BTreeMap<String, String>,
}

/// One operation of a transaction, which IAM judges as if it were a call of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `PutItem`, `DeleteItem`, `UpdateItem`, `ConditionCheckItem` or `GetItem`.
    pub action: String,
    /// The partition key of its item.
    pub leading_key: String,
}

impl Resource {
    /// EC2: the value that a launch gives this tag of its instance.
    pub fn instance_tag(&self, key: &str) -> Option<&str> {
        let instance = (1..=MOST_TAGS)
            .map(|n| format!("TagSpecification.{n}."))
            .take_while(|prefix| self.parameters.contains_key(&format!("{prefix}ResourceType")))
            .find(|prefix| self.parameters[&format!("{prefix}ResourceType")] == "instance")?;
        let name = (1..=MOST_TAGS)
            .map(|n| format!("{instance}Tag.{n}."))
            .take_while(|prefix| self.parameters.contains_key(&format!("{prefix}Key")))
            .find(|prefix| self.parameters[&format!("{prefix}Key")] == key)?;
        self.parameters.get(&format!("{name}Value")).map(String::as_str)
    }
}

/// How a service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `x-amz-target` and JSON: DynamoDB, Systems Manager, Service Quotas, SQS.
    Json,
    /// A form in, XML out: EC2.
    Ec2,
    /// A form in, XML out, other errors: STS, IAM, CloudFormation.
    Query,
    /// Paths and JSON: Lambda, EventBridge Scheduler.
    Rest,
    /// Paths, and XML where there is more: S3.
    S3,
}

/// A call of AWS as it came in.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) caller: String,
    pub(super) service: String,
    pub(super) action: String,
    pub(super) protocol: Protocol,
    pub(super) resource: Resource,
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(parts: Parts, body: Bytes) -> Self {
        let (caller, service) = signer(&parts).unwrap_or_default();
        let target = header(&parts.headers, "x-amz-target");
        let mut resource = Resource::default();
        let (protocol, action) = if let Some(target) = target {
            let action = target.rsplit('.').next().unwrap_or_default().to_owned();
            match service.as_str() {
                "dynamodb" => dynamodb::describe(&body, &mut resource),
                "ssm" => resource.parameters = texts(&body),
                _ => {}
            }
            (Protocol::Json, action)
        } else if service == "lambda" {
            resource.function = function(parts.uri.path());
            let action = if parts.uri.path().ends_with("/invocations") { "Invoke" } else { "" };
            (Protocol::Rest, action.to_owned())
        } else if service == "s3" {
            (Protocol::S3, s3::describe(&parts, &mut resource).to_owned())
        } else if service == "scheduler" {
            resource.parameters = schedule(parts.uri.path(), &body);
            (Protocol::Rest, "CreateSchedule".to_owned())
        } else {
            resource.parameters = form_urlencoded::parse(&body).into_owned().collect();
            let action = resource.parameters.get("Action").cloned();
            let protocol = if service == "ec2" { Protocol::Ec2 } else { Protocol::Query };
            (protocol, action.unwrap_or_default())
        };
        let action = match action.as_str() {
            "" => format!("{} {}", parts.method, parts.uri.path()),
            _ => action,
        };
        Self { caller, service, action, protocol, resource, parts, body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.parts.headers, name)
    }
}

/// The texts among the fields of a JSON object.
fn texts(body: &[u8]) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
    fields.into_iter().filter_map(text).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The access key and the service of a signature:
/// `Credential=<access key>/<date>/<region>/<service>/aws4_request`; or of a URL that is signed.
fn signer(parts: &Parts) -> Option<(String, String)> {
    let in_header = header(&parts.headers, "authorization")
        .and_then(|header| header.split("Credential=").nth(1))
        .and_then(|scope| scope.split([',', ' ']).next())
        .map(str::to_owned);
    let in_query = || {
        let query = parts.uri.query()?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        Some(pairs.find(|(name, _)| name == "X-Amz-Credential")?.1.into_owned())
    };
    let scope = in_header.or_else(in_query)?;
    let mut parts = scope.split('/');
    let caller = parts.next()?;
    let service = parts.nth(2)?;
    Some((caller.to_owned(), service.to_owned()))
}

/// What a schedule is and invokes.
fn schedule(path: &str, body: &[u8]) -> BTreeMap<String, String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    [
        ("Name", Some(name)),
        ("Group", body["GroupName"].as_str()),
        ("Target", body["Target"]["Arn"].as_str()),
        ("Role", body["Target"]["RoleArn"].as_str()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
    .collect()
}

/// The function of `/2015-03-31/functions/<name or ARN>[:qualifier]/invocations`, by name.
fn function(path: &str) -> Option<String> {
    let name = path.split('/').skip_while(|part| *part != "functions").nth(1)?;
    let name = name.replace("%3A", ":").replace("%3a", ":");
    let bare = name.rsplit(":function:").next().unwrap_or(&name);
    Some(bare.split(':').next().unwrap_or(bare).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str, headers: &[(&str, &str)], body: &'static str) -> Call {
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Call::new(request.body(()).unwrap().into_parts().0, Bytes::from_static(body.as_bytes()))
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=router/20261121/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=00"
        )
    }

    #[test]
    fn functions_are_known_by_name() {
        for path in [
            "/2015-03-31/functions/orchestrator/invocations",
            "/2015-03-31/functions/orchestrator%3Alive/invocations",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aorchestrator/invocations",
        ] {
            let call = call(path, &[("authorization", &signed("lambda"))], "{}");
            assert_eq!(call.resource.function.as_deref(), Some("orchestrator"), "{path}");
            assert_eq!((call.caller.as_str(), call.action.as_str()), ("router", "Invoke"));
        }
    }

    #[test]
    fn tags_of_instances_are_found_among_those_of_volumes() {
        let call = call(
            "/",
            &[("authorization", &signed("ec2"))],
            "Action=RunInstances&TagSpecification.1.ResourceType=volume\
             &TagSpecification.1.Tag.1.Key=claim&TagSpecification.1.Tag.1.Value=no\
             &TagSpecification.2.ResourceType=instance&TagSpecification.2.Tag.1.Key=Name\
             &TagSpecification.2.Tag.1.Value=x&TagSpecification.2.Tag.2.Key=claim\
             &TagSpecification.2.Tag.2.Value=c%201",
        );
        assert_eq!(call.action, "RunInstances");
        assert_eq!(call.resource.instance_tag("claim"), Some("c 1"));
        assert_eq!(call.resource.instance_tag("model"), None);
    }
}
