//! The parts of a SAM template that decide how functions run and who reaches them.
//!
//! What is not known here is refused with its place, so that the emulation never differs
//! silently from what the template says.

mod api;
mod function;
mod intrinsics;
mod route;
mod section;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;

pub use api::{Api, Authorizer, GatewayResponse, Throttle};
pub use function::TemplateFunction;
pub use route::{Integration, Invoked, Mock, Route};

use section::Section;

pub(in crate::aws) use intrinsics::Resolver;

/// What a template leaves open.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Values of parameters, where they are not the defaults.
    pub parameters: BTreeMap<String, String>,
    /// What `Ref` and `Fn::GetAtt` of resources give: `Table`, `InstanceSubnetA.AvailabilityZone`.
    /// Functions need none: their names are their logical ids.
    pub references: BTreeMap<String, String>,
}

impl Values {
    /// The same with another parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// The same with another resource's value.
    #[must_use]
    pub fn reference(mut self, name: &str, value: impl Into<String>) -> Self {
        self.references.insert(name.into(), value.into());
        self
    }
}

/// What a template has that is not understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Such as `Resources.Api.Properties.Auth`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl TemplateError {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for TemplateError {}

/// A template, read.
#[derive(Clone, Debug)]
pub struct Template {
    /// The functions by their logical ids, which are their names too.
    pub functions: BTreeMap<String, TemplateFunction>,
    /// The API.
    pub api: Api,
}

impl Template {
    /// Reads a template file.
    pub fn read(path: &Path, values: &Values) -> Result<Self, TemplateError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| TemplateError::new(place, error.to_string()))?;
        Self::parse(&text, values)
    }

    /// Reads a template with one API and its functions.
    pub fn parse(text: &str, values: &Values) -> Result<Self, TemplateError> {
        let template: Value = serde_saphyr::from_str(text)
            .map_err(|error| TemplateError::new("the template", error.to_string()))?;
        let resolver = Resolver::new(&template, values);
        let mut functions = BTreeMap::new();
        let mut apis = Vec::new();
        let mut permitted = BTreeSet::new();
        let resources = template.get("Resources").and_then(Value::as_object);
        for (id, resource) in resources.into_iter().flatten() {
            let place = format!("Resources.{id}");
            let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
            let wanted = ["AWS::Serverless::Function", "AWS::Serverless::Api"].contains(&kind);
            if kind == "AWS::Lambda::Permission" {
                permitted.extend(permitted_to_api_gateway(resource, &place, &resolver)?);
                continue;
            }
            // Whatever else the transformation or API Gateway would turn into routes.
            let known = wanted
                || !["AWS::Serverless::", "AWS::ApiGateway", "AWS::Lambda::"]
                    .iter()
                    .any(|family| kind.starts_with(family));
            if !known {
                return Err(TemplateError::new(place, format!("the type `{kind}` is not known")));
            }
            if !wanted || !resolver.exists(resource, &place)? {
                continue;
            }
            if kind == "AWS::Serverless::Api" {
                apis.push((id.clone(), resource));
            } else {
                let function = TemplateFunction::read(id, &template, &resolver)?;
                functions.insert(id.clone(), function);
            }
        }
        let [(id, _)] = apis.as_slice() else {
            let problem = format!("there are {} APIs, not one", apis.len());
            return Err(TemplateError::new("Resources", problem));
        };
        let api = Api::read(id, &template, &permitted, &resolver)?;
        Ok(Self { functions, api })
    }
}

/// The function that a permission lets API Gateway invoke, for all routes of an API.
fn permitted_to_api_gateway(
    resource: &Value,
    place: &str,
    resolver: &Resolver<'_>,
) -> Result<Option<String>, TemplateError> {
    let section = Section::new(
        resource.get("Properties"),
        format!("{place}.Properties"),
        resolver,
        &["Action", "FunctionName", "Principal", "SourceArn"],
        &[],
    )?;
    section.one_of("Action", &["lambda:InvokeFunction"])?;
    section.one_of("Principal", &["apigateway.amazonaws.com"])?;
    let source = section.required("SourceArn")?;
    if !source.ends_with("/*") {
        let problem = format!("`{source}` is not known; it must be of every route");
        return Err(TemplateError::new(section.at("SourceArn"), problem));
    }
    section.text("FunctionName")
}
