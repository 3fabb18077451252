use regex::Regex;
use serde_json::{Map, Value};

use super::super::function::{ACCOUNT, REGION, arn};
use super::{TemplateError, Values};

/// Works out `Ref`, `Fn::Sub` and their like.
#[derive(Debug)]
pub(in crate::aws) struct Resolver<'a> {
    template: &'a Value,
    values: &'a Values,
}

type Resolved = Result<Option<Value>, TemplateError>;

impl<'a> Resolver<'a> {
    pub(in crate::aws) fn new(template: &'a Value, values: &'a Values) -> Self {
        Self { template, values }
    }

    /// Whether the condition of a resource, if it has one, holds.
    pub(in crate::aws) fn exists(
        &self,
        resource: &Value,
        place: &str,
    ) -> Result<bool, TemplateError> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.condition_named(name, place),
            None => Ok(true),
        }
    }

    /// The value without intrinsic functions; `None` stands for `AWS::NoValue`.
    pub(in crate::aws) fn resolve(&self, value: &Value, place: &str) -> Resolved {
        match value {
            Value::Object(map) => match single(map) {
                Some((name, argument)) if name == "Ref" => {
                    let name = argument.as_str().unwrap_or_default();
                    self.reference(name, place)
                }
                Some((name, argument)) if name.starts_with("Fn::") => {
                    self.call(name, argument, &format!("{place}.{name}"))
                }
                _ => {
                    let mut resolved = Map::new();
                    for (key, value) in map {
                        if let Some(value) = self.resolve(value, &format!("{place}.{key}"))? {
                            resolved.insert(key.clone(), value);
                        }
                    }
                    Ok(Some(resolved.into()))
                }
            },
            Value::Array(values) => Ok(Some(self.list(values, place)?.into())),
            plain => Ok(Some(plain.clone())),
        }
    }

    fn list(&self, values: &[Value], place: &str) -> Result<Vec<Value>, TemplateError> {
        let mut resolved = Vec::new();
        for (index, value) in values.iter().enumerate() {
            resolved.extend(self.resolve(value, &format!("{place}[{index}]"))?);
        }
        Ok(resolved)
    }

    fn call(&self, name: &str, argument: &Value, place: &str) -> Resolved {
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match (name, arguments) {
            ("Fn::If", [condition, yes, no]) => {
                let name = condition.as_str().unwrap_or_default();
                let branch = if self.condition_named(name, place)? { yes } else { no };
                self.resolve(branch, place)
            }
            ("Fn::Join", [separator, values]) => {
                let values = self.resolve(values, place)?.unwrap_or_default();
                let values = values.as_array().cloned().unwrap_or_default();
                let texts: Result<Vec<_>, _> =
                    values.iter().map(|value| text(value, place)).collect();
                Ok(Some(texts?.join(separator.as_str().unwrap_or_default()).into()))
            }
            ("Fn::Sub", []) => match argument.as_str() {
                Some(pattern) => self.substitute(pattern, &Map::new(), place),
                None => Err(TemplateError::new(place, "this is not text")),
            },
            ("Fn::Sub", [pattern, variables]) => {
                let variables = self.resolve(variables, place)?.unwrap_or_default();
                let variables = variables.as_object().cloned().unwrap_or_default();
                self.substitute(pattern.as_str().unwrap_or_default(), &variables, place)
            }
            ("Fn::GetAtt", []) => self.reference(argument.as_str().unwrap_or_default(), place),
            ("Fn::GetAtt", [id, attribute]) => {
                self.reference(&format!("{}.{}", text(id, place)?, text(attribute, place)?), place)
            }
            _ => Err(TemplateError::new(place, "this intrinsic function is not known")),
        }
    }

    /// `${Name}`, `${Name.Attribute}` and `${!Literal}`.
    fn substitute(&self, pattern: &str, own: &Map<String, Value>, place: &str) -> Resolved {
        let variable = Regex::new(r"\$\{([^}]*)\}").expect("a pattern");
        let mut whole = String::new();
        let mut end = 0;
        for found in variable.captures_iter(pattern) {
            let (around, name) = (found.get(0).expect("a match"), &found[1]);
            whole.push_str(&pattern[end..around.start()]);
            end = around.end();
            if let Some(literal) = name.strip_prefix('!') {
                whole.extend(["${", literal, "}"]);
            } else if let Some(value) = own.get(name) {
                whole.push_str(&text(value, place)?);
            } else {
                whole.push_str(&text(&self.reference(name, place)?.unwrap_or_default(), place)?);
            }
        }
        whole.push_str(&pattern[end..]);
        Ok(Some(whole.into()))
    }

    /// A parameter, a pseudo parameter, a resource or an attribute of one.
    fn reference(&self, name: &str, place: &str) -> Resolved {
        if let Some(value) = self.values.references.get(name) {
            return Ok(Some(value.clone().into()));
        }
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => Some(REGION),
            "AWS::AccountId" => Some(ACCOUNT),
            "AWS::Partition" => Some("aws"),
            "AWS::StackName" => Some("diogenes"),
            "AWS::URLSuffix" => Some("amazonaws.com"),
            _ => None,
        };
        if let Some(value) = pseudo {
            return Ok(Some(value.into()));
        }
        if let Some(parameter) = self.template.pointer(&format!("/Parameters/{name}")) {
            return self.parameter(name, parameter, place).map(Some);
        }
        let (id, attribute) =
            name.split_once('.').map_or((name, None), |(id, attribute)| (id, Some(attribute)));
        let kind = self.template.pointer(&format!("/Resources/{id}/Type")).and_then(Value::as_str);
        match (kind, attribute) {
            (None, _) => Err(TemplateError::new(place, format!("there is no `{name}`"))),
            (Some("AWS::Serverless::Function" | "AWS::Serverless::Api"), None) => {
                Ok(Some(id.into()))
            }
            (Some("AWS::Serverless::Function"), Some("Arn")) => Ok(Some(arn(id).into())),
            (Some(_), _) => Err(TemplateError::new(
                place,
                format!("`{name}` has no value here; give it one with `Values::reference`"),
            )),
        }
    }

    fn parameter(
        &self,
        name: &str,
        parameter: &Value,
        place: &str,
    ) -> Result<Value, TemplateError> {
        let given = self.values.parameters.get(name).map(|value| Value::from(value.clone()));
        let value = given.or_else(|| parameter.get("Default").cloned()).ok_or_else(|| {
            let problem = format!("the parameter `{name}` has no value and no default");
            TemplateError::new(place, problem)
        })?;
        match parameter.get("Type").and_then(Value::as_str) {
            Some("CommaDelimitedList") => {
                Ok(text(&value, place)?.split(',').map(str::to_owned).collect())
            }
            _ => Ok(value),
        }
    }

    fn condition_named(&self, name: &str, place: &str) -> Result<bool, TemplateError> {
        match self.template.pointer(&format!("/Conditions/{name}")) {
            Some(condition) => self.condition(condition, &format!("Conditions.{name}")),
            None => Err(TemplateError::new(place, format!("there is no condition `{name}`"))),
        }
    }

    fn condition(&self, condition: &Value, place: &str) -> Result<bool, TemplateError> {
        let unknown = || TemplateError::new(place, "this condition is not known");
        let (name, argument) = condition.as_object().and_then(single).ok_or_else(unknown)?;
        if name == "Condition" {
            return self.condition_named(argument.as_str().unwrap_or_default(), place);
        }
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let all = || arguments.iter().map(|each| self.condition(each, place));
        match (name.as_str(), arguments) {
            ("Fn::Equals", [left, right]) => {
                let side = |value| text(&self.resolve(value, place)?.unwrap_or_default(), place);
                Ok(side(left)? == side(right)?)
            }
            ("Fn::Not", [inner]) => Ok(!self.condition(inner, place)?),
            ("Fn::And", _) => {
                Ok(all().collect::<Result<Vec<_>, _>>()?.into_iter().all(|holds| holds))
            }
            ("Fn::Or", _) => {
                Ok(all().collect::<Result<Vec<_>, _>>()?.into_iter().any(|holds| holds))
            }
            _ => Err(unknown()),
        }
    }
}

/// The only entry of a map.
fn single(map: &Map<String, Value>) -> Option<(&String, &Value)> {
    map.iter().next().filter(|_| map.len() == 1)
}

/// A scalar as text, as CloudFormation writes it.
fn text(value: &Value, place: &str) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(TemplateError::new(place, format!("`{other}` is not text"))),
    }
}
