//! Requests that name a prompt: `"prompt": {"id", "version", "variables"}`, as OpenAI has it. Its
//! rendered messages come before those of the request, and its parameters yield to the request's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::prompts::{self, PromptError, PromptRef, PromptVersion, Selector};
use diogenes_core::tenancy::Principal;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::admission::InferenceRequest;
use super::conversations;
use super::dialect::Dialect;
use super::draft::Draft;
use super::gateway::Gateway;
use crate::control::prompt_error;
use crate::error::{ApiError, ErrorKind};

const VERSION: HeaderName = HeaderName::from_static("x-diogenes-prompt-version");
const STALE: HeaderName = HeaderName::from_static("x-diogenes-prompt-stale-seconds");

/// The prompt that a request was made of.
#[derive(Debug)]
pub(super) struct Prompted {
    version: HeaderValue,
    stale: Option<Duration>,
}

impl Prompted {
    /// Its reference: `tutor:v1`.
    pub(super) fn version(&self) -> &str {
        // It is of letters, digits and a colon.
        self.version.to_str().unwrap_or_default()
    }

    /// Says so in the headers of an answer.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(VERSION, self.version);
        if let Some(stale) = self.stale {
            headers.insert(STALE, HeaderValue::from(stale.as_secs()));
        }
    }
}

/// The field `prompt`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptField {
    id: String,
    #[serde(default)]
    version: Option<VersionField>,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum VersionField {
    Text(String),
    Number(u32),
}

/// The body of a request with its prompt in place, or none where the prompt is kept by whoever is
/// asked: OpenAI's ids begin with `pmpt_`.
///
/// Where a deployment of the prompt is under way, the record of the request says so from now on.
pub(super) async fn expanded(
    gateway: &Gateway,
    by: &Principal,
    request: &InferenceRequest,
    place: Range<usize>,
    draft: &mut Option<Draft>,
) -> Result<Option<(Bytes, Prompted)>, ApiError> {
    let Some(shelf) = &gateway.prompts else { return Ok(None) };
    let InferenceRequest { id, dialect, headers, body, .. } = request;
    let field: PromptField = serde_json::from_slice(body.get(place).unwrap_or_default())
        .map_err(|error| {
            let problem = format!(
                "`prompt` must be an object with `id` and, if needed, `version` and `variables`: {error}"
            );
            invalid("prompt", problem)
        })?;
    if field.id.starts_with("pmpt_") {
        return Ok(None);
    }
    let wanted = reference(&field.id, field.version)?;
    let unit = || {
        // A request that says of nobody whom it is for stands for itself.
        let of_itself = || id.to_str().unwrap_or_default().to_owned();
        conversations::user(headers, body).unwrap_or_else(of_itself)
    };
    let found = shelf.find(&by.project, &wanted, &unit).await;
    let mut found = found.map_err(|error| refused(&error))?;
    if let Some(at) = found.assignment.take() {
        gateway.puts_on_trial(draft, by, request, at);
    }
    let version = &*found.version;
    let named = format!("{}:v{}", version.slug, version.number);
    let given = field.variables.unwrap_or_default();
    let given = given.into_iter().map(|(name, value)| Ok((name, plain_value(value)?)));
    let given = given.collect::<Result<Map<_, _>, ApiError>>()?;
    let messages = prompts::render(&version.content, &given)
        .map_err(|problem| refused(&PromptError::Render { reference: named.clone(), problem }))?;
    let body = written(*dialect, body, version, &messages, &named)?;
    let version = HeaderValue::try_from(&named).map_err(|error| ApiError::internal(&error))?;
    Ok(Some((body, Prompted { version, stale: found.stale })))
}

fn reference(id: &str, version: Option<VersionField>) -> Result<PromptRef, ApiError> {
    let wanted: PromptRef = id.parse().map_err(|error| invalid("prompt.id", format!("{error}")))?;
    let Some(version) = version else { return Ok(wanted) };
    if wanted.version != Selector::Default {
        let problem = "`prompt.id` names a version already; leave `prompt.version` out";
        return Err(invalid("prompt.version", problem.into()));
    }
    let version = match version {
        VersionField::Text(text) => text,
        VersionField::Number(number) => number.to_string(),
    };
    let version = version.parse().map_err(|error| invalid("prompt.version", format!("{error}")))?;
    Ok(PromptRef { version, ..wanted })
}

/// A value as OpenAI's clients send it: plain, or the text of a content part.
fn plain_value(value: Value) -> Result<Value, ApiError> {
    let kind = value.get("type").and_then(Value::as_str);
    match kind {
        Some("input_text") => Ok(value.get("text").cloned().unwrap_or_default()),
        Some(kind @ ("input_image" | "input_file")) => {
            let problem = format!("a value cannot be of the type `{kind}`; send text");
            Err(invalid("prompt.variables", problem))
        }
        _ => Ok(value),
    }
}

/// The fields of a body, those that are not ours as they came.
struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    fn set(&mut self, name: &str, value: &impl Serialize) -> Result<(), ApiError> {
        let raw = serde_json::value::to_raw_value(value);
        self.0.insert(name.to_owned(), raw.map_err(|error| ApiError::internal(&error))?);
        Ok(())
    }

    /// Sets a field where the request has none of these.
    fn default(&mut self, names: &[&str], value: Option<impl Serialize>) -> Result<(), ApiError> {
        match (names, value) {
            ([name, ..], Some(value)) if names.iter().all(|it| !self.0.contains_key(*it)) => {
                self.set(name, &value)
            }
            _ => Ok(()),
        }
    }
}

fn written(
    dialect: Dialect,
    body: &[u8],
    version: &PromptVersion,
    messages: &[prompts::PromptMessage],
    named: &str,
) -> Result<Bytes, ApiError> {
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(|error| crate::control::invalid_json(&error))?;
    let mut fields = Fields(fields);
    fields.0.remove("prompt");
    let named_model = fields.0.get("model").map(|raw| raw.get());
    if matches!(named_model, None | Some("null" | "\"\"")) {
        let Some(model) = &version.content.model else {
            let problem = format!(
                "neither the request nor the prompt `{named}` names a model; add `\"model\": \"…\"` to the request"
            );
            return Err(ApiError::new(ErrorKind::MissingModel, problem).param("model"));
        };
        fields.set("model", model)?;
    }
    if dialect == Dialect::Responses {
        into_response(&mut fields, version, messages, named)?;
    } else {
        into_chat(&mut fields, version, messages)?;
    }
    serde_json::to_vec(&fields.0).map(Bytes::from).map_err(|error| ApiError::internal(&error))
}

fn into_chat(
    fields: &mut Fields,
    version: &PromptVersion,
    messages: &[prompts::PromptMessage],
) -> Result<(), ApiError> {
    let mut all = messages.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
    all.extend(listed(fields, "messages")?.unwrap_or_default());
    fields.set("messages", &all)?;
    let config = &version.content.default_config;
    fields.default(&["temperature"], config.temperature)?;
    fields.default(&["top_p"], config.top_p)?;
    fields.default(&["max_completion_tokens", "max_tokens"], config.max_tokens)?;
    fields.default(&["stop"], Some(&config.stop).filter(|stop| !stop.is_empty()))?;
    fields.default(&["frequency_penalty"], config.frequency_penalty)?;
    fields.default(&["presence_penalty"], config.presence_penalty)?;
    fields.default(&["seed"], config.seed)?;
    let schema = config.output_schema.as_ref().map(|schema| {
        json!({"type": "json_schema", "json_schema": {"name": "output", "schema": schema}})
    });
    fields.default(&["response_format"], schema.as_ref().or(config.response_format.as_ref()))?;
    let tools = &version.content.tools;
    fields.default(&["tools"], Some(tools).filter(|tools| !tools.is_empty()))
}

fn into_response(
    fields: &mut Fields,
    version: &PromptVersion,
    messages: &[prompts::PromptMessage],
    named: &str,
) -> Result<(), ApiError> {
    let config = &version.content.default_config;
    for (field, is_set) in [
        ("stop", !config.stop.is_empty()),
        ("frequency_penalty", config.frequency_penalty.is_some()),
        ("presence_penalty", config.presence_penalty.is_some()),
        ("seed", config.seed.is_some()),
    ] {
        if is_set {
            let problem = format!(
                "the prompt `{named}` sets `{field}`, which `/v1/responses` does not know; use `/v1/chat/completions`, or push a version without it"
            );
            return Err(invalid("prompt", problem));
        }
    }
    let mut all = Vec::new();
    for message in messages {
        let role = message.role.as_str();
        all.push(raw(&json!({"type": "message", "role": role, "content": message.content}))?);
    }
    match fields.0.get("input").map(|input| input.get().as_bytes().first()) {
        Some(Some(b'"')) => {
            let text = fields.0.get("input");
            all.push(raw(&json!({"type": "message", "role": "user", "content": text}))?);
        }
        _ => all.extend(listed(fields, "input")?.unwrap_or_default()),
    }
    fields.set("input", &all)?;
    fields.default(&["temperature"], config.temperature)?;
    fields.default(&["top_p"], config.top_p)?;
    fields.default(&["max_output_tokens"], config.max_tokens)?;
    let schema = config.output_schema.as_ref();
    let format =
        schema.map(|schema| json!({"type": "json_schema", "name": "output", "schema": schema}));
    let format =
        format.or_else(|| config.response_format.as_ref().map(|it| flat(it, "json_schema")));
    fields.default(&["text"], format.map(|format| json!({"format": format})))?;
    let tools: Vec<_> = version.content.tools.iter().map(|tool| flat(tool, "function")).collect();
    fields.default(&["tools"], Some(tools).filter(|tools| !tools.is_empty()))
}

/// What Chat Completions puts into an object of its own, and Responses does not.
fn flat(value: &Value, inner: &str) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut flat = fields.clone();
    if let Some(Value::Object(inner)) = flat.remove(inner) {
        flat.extend(inner);
    }
    flat.into()
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(value).map_err(|error| ApiError::internal(&error))
}

/// The items of a field that is a list, as they came.
fn listed(fields: &Fields, name: &str) -> Result<Option<Vec<Box<RawValue>>>, ApiError> {
    let Some(value) = fields.0.get(name).filter(|value| value.get() != "null") else {
        return Ok(None);
    };
    let items = serde_json::from_str(value.get());
    items.map(Some).map_err(|_| invalid(name, format!("`{name}` must be a list")))
}

fn invalid(param: &str, problem: String) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, problem).param(param)
}

/// A prompt that cannot be used, as callers of `/v1` see it. A retry finds the same.
fn refused(error: &PromptError) -> ApiError {
    let mut refused = prompt_error(error);
    let field = refused.param.take();
    refused.param = Some(match field {
        Some(field) if field.starts_with("variables.") => format!("prompt.{field}"),
        Some(field) if field.starts_with("messages[") => format!("prompt.{field}"),
        _ => "prompt".into(),
    });
    if refused.kind == ErrorKind::PromptArchived { refused.no_retry() } else { refused }
}
