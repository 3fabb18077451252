use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::super::function::name_of;
use super::TemplateError;
use super::function::with_globals;
use super::intrinsics::Resolver;
use super::route::{Route, routes};
use super::section::Section;

/// How long an authorizer's answer is kept if the template does not say.
const DEFAULT_TTL: u32 = 300;

/// A REST API.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its stage, the first part of every path.
    pub stage: String,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Its authorizers by name.
    pub authorizers: BTreeMap<String, Authorizer>,
    /// Its gateway responses by type.
    pub responses: BTreeMap<String, GatewayResponse>,
    /// What it takes for binary.
    pub binary_media_types: Vec<String>,
    /// How many requests each of its routes lets through.
    pub throttle: Option<Throttle>,
}

/// A bucket of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Requests that are added per second.
    pub rate: u32,
    /// Requests that it holds.
    pub burst: u32,
}

/// A TOKEN authorizer.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// The name of its function.
    pub function: String,
    /// The header with the token.
    pub header: String,
    /// What the token must look like.
    pub validation: Option<Regex>,
    /// How long its answer is kept.
    pub ttl: Duration,
}

/// How the gateway answers by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayResponse {
    /// The status, if it is not that of its type.
    pub status: Option<u16>,
    /// Headers and the expressions of their values.
    pub headers: BTreeMap<String, String>,
    /// The body for `application/json`.
    pub template: Option<String>,
}

impl Api {
    pub(super) fn read(
        id: &str,
        template: &Value,
        permitted: &BTreeSet<String>,
        resolver: &Resolver<'_>,
    ) -> Result<Self, TemplateError> {
        let properties = template.pointer(&format!("/Resources/{id}/Properties"));
        let properties = with_globals(template, "Api", properties);
        let section = Section::new(
            Some(&properties),
            format!("Resources.{id}.Properties"),
            resolver,
            &[
                "StageName",
                "Auth",
                "DefinitionBody",
                "GatewayResponses",
                "BinaryMediaTypes",
                "MethodSettings",
            ],
            &[
                "Name",
                "Description",
                "EndpointConfiguration",
                "OpenApiVersion",
                "Tags",
                "AccessLogSetting",
                "TracingEnabled",
                "AlwaysDeploy",
                "PropagateTags",
            ],
        )?;
        let auth = Section::new(
            section.raw("Auth"),
            section.at("Auth"),
            resolver,
            &["DefaultAuthorizer", "Authorizers"],
            &[],
        )?;
        let authorizers = authorizers(&auth, resolver)?;
        let default = auth.text("DefaultAuthorizer")?;
        let routes = routes(&section, resolver, default.as_deref(), permitted)?;
        for route in &routes {
            if let Some(name) =
                route.authorizer.as_ref().filter(|name| !authorizers.contains_key(*name))
            {
                let place =
                    format!("Resources.{id}.Properties.DefinitionBody.paths.{}", route.path);
                return Err(TemplateError::new(place, format!("no authorizer `{name}`")));
            }
        }
        Ok(Self {
            stage: section.required("StageName")?,
            routes,
            authorizers,
            responses: responses(&section, resolver)?,
            // SAM has `~1` for the slash.
            binary_media_types: section
                .texts("BinaryMediaTypes")?
                .iter()
                .map(|kind| kind.replace("~1", "/"))
                .collect(),
            throttle: throttle(&section, resolver)?,
        })
    }
}

fn authorizers(
    auth: &Section<'_>,
    resolver: &Resolver<'_>,
) -> Result<BTreeMap<String, Authorizer>, TemplateError> {
    let all = Section::open(auth.raw("Authorizers"), auth.at("Authorizers"), resolver)?;
    let mut authorizers = BTreeMap::new();
    for name in all.names() {
        let known = &["FunctionArn", "FunctionPayloadType", "Identity"];
        let section = Section::new(all.raw(name), all.at(name), resolver, known, &[])?;
        section.one_of("FunctionPayloadType", &["TOKEN"])?;
        let known = &["Header", "ValidationExpression", "ReauthorizeEvery"];
        let identity =
            Section::new(section.raw("Identity"), section.at("Identity"), resolver, known, &[])?;
        // The whole token must match.
        let validation = identity.text("ValidationExpression")?.map(|expression| {
            Regex::new(&format!("^(?:{expression})$")).map_err(|error| {
                TemplateError::new(identity.at("ValidationExpression"), error.to_string())
            })
        });
        let ttl = identity.number("ReauthorizeEvery")?.unwrap_or(DEFAULT_TTL);
        let authorizer = Authorizer {
            function: name_of(&section.required("FunctionArn")?).to_owned(),
            header: identity.text("Header")?.unwrap_or_else(|| "Authorization".to_owned()),
            validation: validation.transpose()?,
            ttl: Duration::from_secs(ttl.into()),
        };
        authorizers.insert(name.clone(), authorizer);
    }
    Ok(authorizers)
}

fn responses(
    api: &Section<'_>,
    resolver: &Resolver<'_>,
) -> Result<BTreeMap<String, GatewayResponse>, TemplateError> {
    let all = Section::open(api.raw("GatewayResponses"), api.at("GatewayResponses"), resolver)?;
    let mut responses = BTreeMap::new();
    for kind in all.names() {
        let known = &["StatusCode", "ResponseParameters", "ResponseTemplates"];
        let section = Section::new(all.raw(kind), all.at(kind), resolver, known, &[])?;
        let status = section.number("StatusCode")?.map(u16::try_from).transpose();
        let status = status
            .map_err(|error| TemplateError::new(section.at("StatusCode"), error.to_string()))?;
        let parameters = section.raw("ResponseParameters");
        let parameters = Section::new(
            parameters,
            section.at("ResponseParameters"),
            resolver,
            &["Headers"],
            &[],
        )?;
        let fields = Section::open(parameters.raw("Headers"), parameters.at("Headers"), resolver)?;
        let mut headers = BTreeMap::new();
        for name in fields.names() {
            headers.insert(name.clone(), fields.required(name)?);
        }
        let templates = section.raw("ResponseTemplates");
        let templates = Section::new(
            templates,
            section.at("ResponseTemplates"),
            resolver,
            &["application/json"],
            &[],
        )?;
        let template = templates.text("application/json")?;
        responses.insert(kind.clone(), GatewayResponse { status, headers, template });
    }
    Ok(responses)
}

/// The limit that every method has on its own: others are refused.
fn throttle(api: &Section<'_>, resolver: &Resolver<'_>) -> Result<Option<Throttle>, TemplateError> {
    let settings = api.raw("MethodSettings").and_then(Value::as_array);
    let Some(settings) = settings else { return Ok(None) };
    let place = api.at("MethodSettings");
    let [settings] = settings.as_slice() else {
        return Err(TemplateError::new(place, "one setting for all methods is all that is known"));
    };
    let section = Section::new(
        Some(settings),
        place,
        resolver,
        &["HttpMethod", "ResourcePath", "ThrottlingRateLimit", "ThrottlingBurstLimit"],
        &["MetricsEnabled", "LoggingLevel", "DataTraceEnabled"],
    )?;
    section.one_of("HttpMethod", &["*"])?;
    section.one_of("ResourcePath", &["/*"])?;
    let (rate, burst) =
        (section.number("ThrottlingRateLimit")?, section.number("ThrottlingBurstLimit")?);
    Ok(rate.zip(burst).map(|(rate, burst)| Throttle { rate, burst }))
}
