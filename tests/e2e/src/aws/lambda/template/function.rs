use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::function::Function;
use super::TemplateError;
use super::intrinsics::Resolver;
use super::section::Section;

/// Fields that say how a function runs.
const KNOWN: &[&str] = &[
    "Handler",
    "Runtime",
    "MemorySize",
    "Timeout",
    "Environment",
    "Events",
    "EventInvokeConfig",
    "ReservedConcurrentExecutions",
];

/// Events that are known. `Api` is not among them: routes are in the definition of the API.
const EVENTS: &[&str] = &["Schedule", "ScheduleV2", "EventBridgeRule", "CloudWatchEvent", "SQS"];

/// Fields that mean nothing here: where code lies, rights, networks and logs.
const IGNORED: &[&str] = &[
    "CodeUri",
    "Architectures",
    "Description",
    "LoggingConfig",
    "Policies",
    // Nobody watches for loops here.
    "RecursiveLoop",
    "Role",
    "Tags",
    "VpcConfig",
];

/// A function as the template has it.
#[derive(Clone, Debug)]
pub struct TemplateFunction {
    /// Its logical id.
    pub id: String,
    /// The program of the package `diogenes-functions` that it runs.
    pub binary: String,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Its memory in MiB.
    pub memory: u32,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// How many invocations may run at once.
    pub reserved_concurrency: Option<usize>,
    /// How often a failed asynchronous invocation is tried again.
    pub async_retries: u32,
    /// How old an asynchronous event may become.
    pub async_max_age: Duration,
    /// Its events, as they stand.
    pub events: Map<String, Value>,
}

impl TemplateFunction {
    pub(super) fn read(
        id: &str,
        template: &Value,
        resolver: &Resolver<'_>,
    ) -> Result<Self, TemplateError> {
        let place = format!("Resources.{id}");
        let resource = template.pointer(&format!("/Resources/{id}"));
        let outer = Section::new(
            resource,
            &place,
            resolver,
            &["Type", "Properties", "Metadata"],
            &["Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy"],
        )?;
        let properties = with_globals(template, "Function", outer.raw("Properties"));
        let section =
            Section::new(Some(&properties), outer.at("Properties"), resolver, KNOWN, IGNORED)?;
        section.one_of("Runtime", &["provided.al2023"])?;
        section.one_of("Handler", &["bootstrap"])?;
        let binary = outer.raw("Metadata").and_then(|data| data.pointer("/BuildProperties/Binary"));
        let binary = binary.and_then(Value::as_str).ok_or_else(|| {
            TemplateError::new(outer.at("Metadata.BuildProperties.Binary"), "it is missing")
        })?;

        let environment = section.raw("Environment");
        let environment =
            Section::new(environment, section.at("Environment"), resolver, &["Variables"], &[])?;
        let variables =
            Section::open(environment.raw("Variables"), environment.at("Variables"), resolver)?;
        let mut environment = BTreeMap::new();
        for name in variables.names() {
            environment.insert(name.clone(), variables.text(name)?.unwrap_or_default());
        }

        let invoke = Section::new(
            section.raw("EventInvokeConfig"),
            section.at("EventInvokeConfig"),
            resolver,
            &["MaximumEventAgeInSeconds", "MaximumRetryAttempts"],
            &["DestinationConfig"],
        )?;
        let events = Section::open(section.raw("Events"), section.at("Events"), resolver)?;
        for name in events.names() {
            let place = events.at(name);
            let event =
                Section::new(events.raw(name), place, resolver, &["Type", "Properties"], &[])?;
            event.one_of("Type", EVENTS)?;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let reserved = section.number("ReservedConcurrentExecutions")?;
        let defaults = Function::new(id, "");
        let max_age = invoke.number("MaximumEventAgeInSeconds")?;
        Ok(Self {
            id: id.into(),
            binary: binary.into(),
            timeout: section.number("Timeout")?.map_or(defaults.timeout, seconds),
            memory: section.number("MemorySize")?.unwrap_or(defaults.memory),
            environment,
            reserved_concurrency: reserved.and_then(|reserved| usize::try_from(reserved).ok()),
            async_retries: invoke.number("MaximumRetryAttempts")?.unwrap_or(defaults.async_retries),
            async_max_age: max_age.map_or(defaults.async_max_age, seconds),
            events: section.raw("Events").and_then(Value::as_object).cloned().unwrap_or_default(),
        })
    }

    /// The function that runs this program. Its name is its logical id.
    pub fn run(&self, program: impl Into<PathBuf>) -> Function {
        Function {
            environment: self.environment.clone(),
            timeout: self.timeout,
            memory: self.memory,
            reserved_concurrency: self.reserved_concurrency,
            async_retries: self.async_retries,
            async_max_age: self.async_max_age,
            ..Function::new(&self.id, program)
        }
    }
}

/// The properties of a resource over those that the template gives to all of its kind.
pub(super) fn with_globals(template: &Value, kind: &str, properties: Option<&Value>) -> Value {
    let global = template.pointer(&format!("/Globals/{kind}")).cloned();
    match (global, properties) {
        (Some(global), Some(own)) => merge(global, own.clone()),
        (Some(global), None) => global,
        (None, own) => own.cloned().unwrap_or_else(|| Map::new().into()),
    }
}

/// Maps are merged, lists are joined, and else the second wins
/// (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>).
fn merge(global: Value, own: Value) -> Value {
    match (global, own) {
        (Value::Object(mut global), Value::Object(own)) => {
            for (key, value) in own {
                let merged = match global.remove(&key) {
                    Some(under) => merge(under, value),
                    None => value,
                };
                global.insert(key, merged);
            }
            global.into()
        }
        (Value::Array(mut global), Value::Array(own)) => {
            global.extend(own);
            global.into()
        }
        (_, own) => own,
    }
}
