use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::super::function::name_of;
use super::TemplateError;
use super::intrinsics::Resolver;
use super::section::Section;

/// How long a buffered integration may take: AWS's default and what a new account may have at most
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>).
const BUFFERED_LIMIT: Duration = Duration::from_secs(29);

/// How long a streamed integration may take
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>).
const STREAMED_LIMIT: Duration = Duration::from_mins(15);

/// The methods of an OpenAPI path, with API Gateway's own for all of them.
const METHODS: &[(&str, &str)] = &[
    ("x-amazon-apigateway-any-method", "ANY"),
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("patch", "PATCH"),
    ("head", "HEAD"),
    ("options", "OPTIONS"),
];

/// What [`METHODS`] of a path may say.
const OPERATION: &[&str] = &["security", "x-amazon-apigateway-integration"];

/// A path and a method, and what is behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Such as `/v1/{proxy+}`.
    pub path: String,
    /// Such as `GET`, or `ANY`.
    pub method: String,
    /// Who answers.
    pub integration: Integration,
    /// Who is asked before.
    pub authorizer: Option<String>,
}

impl Route {
    /// The function behind it, if there is one.
    pub fn function(&self) -> Option<&str> {
        match &self.integration {
            Integration::Function(function) => Some(&function.name),
            Integration::Mock(_) => None,
        }
    }
}

/// Who answers on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integration {
    /// A function.
    Function(Invoked),
    /// API Gateway itself, always the same.
    Mock(Mock),
}

/// A function behind a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    pub name: String,
    /// Whether answers are streamed.
    pub streamed: bool,
    /// How long the whole answer may take.
    pub timeout: Duration,
}

/// An answer that API Gateway gives by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mock {
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    pub body: String,
}

/// The routes of an OpenAPI document. `default` is the authorizer of those that name none, and
/// `permitted` are the functions that API Gateway may invoke.
pub(super) fn routes(
    api: &Section<'_>,
    resolver: &Resolver<'_>,
    default: Option<&str>,
    permitted: &BTreeSet<String>,
) -> Result<Vec<Route>, TemplateError> {
    let body = Section::new(
        api.raw("DefinitionBody"),
        api.at("DefinitionBody"),
        resolver,
        &["paths"],
        &["openapi", "info"],
    )?;
    let paths = Section::open(body.raw("paths"), body.at("paths"), resolver)?;
    let mut routes = Vec::new();
    for path in paths.names() {
        let known: Vec<&str> = METHODS.iter().map(|(field, _)| *field).collect();
        let methods = Section::new(paths.raw(path), paths.at(path), resolver, &known, &[])?;
        for field in methods.names() {
            let (place, operation) = (methods.at(field), methods.raw(field));
            let operation = Section::new(operation, place, resolver, OPERATION, &["responses"])?;
            let method = METHODS.iter().find(|(known, _)| known == field);
            let integration = integration(&operation, resolver)?;
            if let Integration::Function(Invoked { name, .. }) = &integration
                && !permitted.contains(name)
            {
                let problem = format!("no AWS::Lambda::Permission lets it invoke `{name}`");
                return Err(TemplateError::new(methods.at(field), problem));
            }
            routes.push(Route {
                path: path.clone(),
                method: method.map(|(_, method)| (*method).to_owned()).unwrap_or_default(),
                integration,
                authorizer: authorizer(&operation, default)?,
            });
        }
    }
    Ok(routes)
}

/// Who is asked before: what `security` names, or the default where it is silent.
fn authorizer(
    operation: &Section<'_>,
    default: Option<&str>,
) -> Result<Option<String>, TemplateError> {
    let Some(security) = operation.raw("security") else {
        return Ok(default.map(str::to_owned));
    };
    let names: Vec<&String> = security
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::keys)
        .collect();
    match names.as_slice() {
        [name] if *name == "NONE" => Ok(None),
        [name] => Ok(Some((*name).clone())),
        _ => Err(TemplateError::new(operation.at("security"), "it must name one authorizer")),
    }
}

fn integration(
    operation: &Section<'_>,
    resolver: &Resolver<'_>,
) -> Result<Integration, TemplateError> {
    const FIELD: &str = "x-amazon-apigateway-integration";
    let known = [
        "type",
        "httpMethod",
        "uri",
        "responseTransferMode",
        "timeoutInMillis",
        "requestTemplates",
        "responses",
    ];
    let section = Section::new(operation.raw(FIELD), operation.at(FIELD), resolver, &known, &[])?;
    match section.one_of("type", &["aws_proxy", "mock"])? {
        Some("mock") => mock(&section, resolver).map(Integration::Mock),
        Some(_) => function(&section).map(Integration::Function),
        None => Err(TemplateError::new(section.at("type"), "it is missing")),
    }
}

fn function(section: &Section<'_>) -> Result<Invoked, TemplateError> {
    // Lambda takes invocations by POST, whatever the method of the route.
    section.required("httpMethod")?;
    section.one_of("httpMethod", &["POST"])?;
    let uri = section.required("uri")?;
    let of_kind = |version: &str, operation: &str| {
        let (_, function) = uri.split_once(&format!(":lambda:path/{version}/functions/"))?;
        function.strip_suffix(operation)
    };
    let (streamed, arn) = match of_kind("2021-11-15", "/response-streaming-invocations") {
        Some(arn) => (true, arn),
        None => match of_kind("2015-03-31", "/invocations") {
            Some(arn) => (false, arn),
            None => {
                return Err(TemplateError::new(section.at("uri"), format!("`{uri}` is not known")));
            }
        },
    };
    let mode = section.one_of("responseTransferMode", &["STREAM", "BUFFERED"])?;
    if (mode == Some("STREAM")) != streamed {
        let problem = "`uri` and it must both be of a stream, or neither";
        return Err(TemplateError::new(section.at("responseTransferMode"), problem));
    }
    let limit = if streamed { STREAMED_LIMIT } else { BUFFERED_LIMIT };
    let timeout = section.number("timeoutInMillis")?;
    let timeout = timeout.map_or(BUFFERED_LIMIT, |millis| Duration::from_millis(millis.into()));
    if timeout > limit {
        let problem = format!("longer than {limit:?}, the most that API Gateway waits here");
        return Err(TemplateError::new(section.at("timeoutInMillis"), problem));
    }
    Ok(Invoked { name: name_of(arn).to_owned(), streamed, timeout })
}

fn mock(section: &Section<'_>, resolver: &Resolver<'_>) -> Result<Mock, TemplateError> {
    let kinds = &["application/json"];
    let (raw, place) = (section.raw("requestTemplates"), section.at("requestTemplates"));
    let request = Section::new(raw, place, resolver, kinds, &[])?;
    let chosen: Option<Value> = serde_json::from_str(&request.required("application/json")?).ok();
    let chosen = chosen.and_then(|chosen| chosen.get("statusCode")?.as_u64());
    let (raw, place) = (section.raw("responses"), section.at("responses"));
    let responses = Section::new(raw, place, resolver, &["default"], &[])?;
    let response = Section::new(
        responses.raw("default"),
        responses.at("default"),
        resolver,
        &["statusCode", "responseTemplates"],
        &[],
    )?;
    let status = response.number("statusCode")?.and_then(|status| u16::try_from(status).ok());
    let Some(status) = status.filter(|status| chosen == Some(u64::from(*status))) else {
        let problem = "it must be the `statusCode` of the request's template";
        return Err(TemplateError::new(response.at("statusCode"), problem));
    };
    let (raw, place) = (response.raw("responseTemplates"), response.at("responseTemplates"));
    let templates = Section::open(raw, place, resolver)?;
    let Some(content_type) = templates.names().next() else {
        return Err(TemplateError::new(response.at("responseTemplates"), "it is missing"));
    };
    let body = templates.required(content_type)?;
    Ok(Mock { status, content_type: content_type.clone(), body })
}
