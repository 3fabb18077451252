use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::Placement;
use crate::fleet::env::{self, Env, EnvValue};
#[cfg(feature = "openapi")]
use crate::fleet::placement;
use crate::fleet::serving::{Affinity, ColdStart, ResponsesApi};
use crate::hex;
use crate::name::ModelName;
use crate::ports::{IndexKey, Key, Query, Table};

/// A registered model: what callers may ask for and how to serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name that callers send.
    pub name: ModelName,
    /// How it is served.
    pub spec: ModelSpec,
    /// Where its definition lives.
    pub source: Source,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When its spec last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. The record stays until its last instance is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// Who owns the definition of a model, a route or a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `diogenes.toml`; read-only over the API.
    Config,
    /// The API.
    Api,
}

impl Source {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}

/// How a model is served. Only `command` has no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The program and its arguments: `["vllm", "serve", "Qwen/Qwen3-8B", "--host", "{host}", "--port", "{port}"]`.
    /// `{port}`, `{host}` and `{key}`, the key that it shall ask of its callers, are filled in;
    /// the same stand in its environment as `PORT`, `HOST`, `VLLM_API_KEY` and `LLAMA_API_KEY`.
    pub command: Vec<String>,
    /// Variables added to the environment of the command.
    #[serde(default, skip_serializing_if = "Env::is_empty")]
    #[cfg_attr(feature = "openapi", schema(schema_with = env::schema))]
    pub env: Env,
    /// The directory that the command starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The path that answers 200 once the server is ready.
    #[serde(default = "default_health_path")]
    pub health_path: String,
    /// The port that the command listens on, for a program with a fixed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name that the inference server knows the model by, where it is another; requests
    /// are rewritten to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// Who serves `/v1/responses`.
    #[serde(default, skip_serializing_if = "ResponsesApi::is_native")]
    pub responses: ResponsesApi,
    /// Other names that callers may send; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 32))]
    pub aliases: Vec<ModelName>,
    /// Replicas that run even when nobody asks.
    #[serde(default)]
    pub min_replicas: u32,
    /// The most replicas that run at once.
    #[serde(default = "one")]
    pub max_replicas: u32,
    /// Requests in flight per replica above which another replica is wanted.
    #[serde(default = "default_target_concurrency")]
    pub target_concurrency: u32,
    /// The most requests that are sent to a replica at once; others wait for their turn, in a queue
    /// per key. None for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// A replica that nobody used for so long is terminated.
    #[serde(default = "ten_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub idle_timeout: Duration,
    /// A replica that is not ready after so long has failed. The default, 13 minutes, ends a boot
    /// before the longest hold ends, which is 870 s on AWS: a held caller learns the reason. What
    /// is left is for the launch itself and for the news to get around.
    #[serde(default = "default_boot_timeout", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_timeout: Duration,
    /// How long a draining replica may finish its requests.
    #[serde(default = "fifteen_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub drain_timeout: Duration,
    /// The oldest that a replica grows before it is drained and replaced; none for no limit.
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub max_lifetime: Option<Duration>,
    /// A stream that brings no byte for so long is ended with an error.
    #[serde(default = "five_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stall_timeout: Duration,
    /// How long an answer that is not streamed may take.
    #[serde(default = "thirty_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub answer_timeout: Duration,
    /// Which requests are to meet at one replica.
    #[serde(default, skip_serializing_if = "Affinity::is_none")]
    pub affinity: Affinity,
    /// What a caller sees while no replica is ready.
    #[serde(default)]
    pub cold_start: ColdStart,
    /// How long a request that is not streamed is held at most.
    #[serde(default = "fifteen_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hold_timeout: Duration,
    /// How many requests are held at once; one more gets 429.
    #[serde(default = "default_max_held")]
    pub max_held: u32,
    /// How many of those may be of one key; none for as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_held_per_key: Option<u32>,
    /// How often a held stream gets an event that says nothing, once it has waited for twice as
    /// long, besides its comments: some clients give up when no event comes. Zero for never.
    #[serde(
        default = "default_hold_event_interval",
        with = "crate::duration",
        skip_serializing_if = "is_default_hold_event_interval"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hold_event_interval: Duration,
    /// Where to launch, first choice first. Empty: the backend's only place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(schema_with = placement::ladder_schema))]
    pub ladder: Vec<Placement>,
}

fn default_health_path() -> String {
    "/health".into()
}
fn one() -> u32 {
    1
}
fn default_target_concurrency() -> u32 {
    64
}
fn default_max_held() -> u32 {
    256
}
fn default_hold_event_interval() -> Duration {
    Duration::from_secs(30)
}
/// A version that does not know the field reads the record, too.
fn is_default_hold_event_interval(interval: &Duration) -> bool {
    *interval == default_hold_event_interval()
}
fn five_minutes() -> Duration {
    Duration::from_mins(5)
}
fn ten_minutes() -> Duration {
    Duration::from_mins(10)
}
fn default_boot_timeout() -> Duration {
    Duration::from_mins(13)
}
fn fifteen_minutes() -> Duration {
    Duration::from_mins(15)
}
fn thirty_minutes() -> Duration {
    Duration::from_mins(30)
}

/// The inference server to start: the part of a spec whose change needs a new instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables added to its environment.
    pub env: Env,
    /// The directory that it starts in.
    pub working_dir: Option<String>,
    /// The path that answers 200 once it is ready.
    pub health_path: String,
    /// The port that it listens on, where that is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The most aliases of a model: a commit replaces all of them together.
const MAX_ALIASES: usize = 32;

/// Tells whether a running instance still is what the spec asks for; 16 hex characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecHash(String);

impl SpecHash {
    fn of(what: &impl Serialize) -> Self {
        // In the order of the fields, whatever serde_json does with maps elsewhere. It cannot
        // fail: every key is a string.
        let text = serde_json::to_string(what).unwrap_or_default();
        let digest = hex(&Sha256::digest(text.as_bytes()));
        Self(digest.chars().take(16).collect())
    }

    /// See [`ModelSpec::launch_hash`].
    pub fn of_launch(engine: &Engine, ladder: &[Placement]) -> Self {
        let ladder: Vec<_> = ladder.iter().map(Placement::since_010).collect();
        Self::of(&(engine, ladder))
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct SpecError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what to write.
    pub problem: String,
}

impl ModelSpec {
    /// A spec that runs `command` with every default.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            env: Env::new(),
            working_dir: None,
            health_path: default_health_path(),
            port: None,
            upstream_model: None,
            responses: ResponsesApi::Native,
            aliases: Vec::new(),
            min_replicas: 0,
            max_replicas: one(),
            target_concurrency: default_target_concurrency(),
            max_concurrency: None,
            idle_timeout: ten_minutes(),
            boot_timeout: default_boot_timeout(),
            drain_timeout: fifteen_minutes(),
            max_lifetime: None,
            stall_timeout: five_minutes(),
            answer_timeout: thirty_minutes(),
            affinity: Affinity::None,
            cold_start: ColdStart::Hold,
            hold_timeout: fifteen_minutes(),
            max_held: default_max_held(),
            max_held_per_key: None,
            hold_event_interval: default_hold_event_interval(),
            ladder: Vec::new(),
        }
    }

    /// Refuses what serde cannot: values that are well-typed and make no sense.
    pub fn validate(&self) -> Result<(), SpecError> {
        let wrong = |field, problem: &str| Err(SpecError { field, problem: problem.into() });
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            return wrong("command", "is empty; set it to the program and its arguments");
        }
        let values = self.env.values().filter_map(EnvValue::plain);
        let has_nul = |text: &str| text.contains('\0');
        for (field, is_cut) in [
            ("command", self.command.iter().map(String::as_str).any(has_nul)),
            ("env", self.env.keys().map(String::as_str).chain(values).any(has_nul)),
            ("working_dir", self.working_dir.as_deref().is_some_and(has_nul)),
        ] {
            if is_cut {
                return wrong(field, "contains a NUL byte; remove it");
            }
        }
        if self.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return wrong("env", "has a variable whose name is empty or contains `=`");
        }
        let is_path = |byte: u8| byte.is_ascii_graphic();
        if !self.health_path.starts_with('/') || !self.health_path.bytes().all(is_path) {
            return wrong("health_path", "must start with `/` and contain no spaces");
        }
        if self.aliases.len() > MAX_ALIASES {
            return wrong("aliases", &format!("must be at most {MAX_ALIASES}"));
        }
        if self.port == Some(0) {
            return wrong("port", "must be 1 to 65535; leave it out for a free one");
        }
        if self.max_replicas == 0 || self.max_replicas > 100 {
            return wrong("max_replicas", "must be 1 to 100");
        }
        if self.min_replicas > self.max_replicas {
            return wrong("min_replicas", "must not exceed `max_replicas`");
        }
        if self.target_concurrency == 0 {
            return wrong("target_concurrency", "must be at least 1");
        }
        if self.max_held_per_key == Some(0) {
            return wrong("max_held_per_key", "must be at least 1; leave it out for no limit");
        }
        if self.max_concurrency == Some(0) {
            return wrong("max_concurrency", "must be at least 1; leave it out for no limit");
        }
        for (field, duration) in [
            ("boot_timeout", self.boot_timeout),
            ("stall_timeout", self.stall_timeout),
            ("answer_timeout", self.answer_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if duration.is_zero() {
                return wrong(field, "must be greater than zero");
            }
        }
        for (field, duration) in [
            ("boot_timeout", self.boot_timeout),
            ("stall_timeout", self.stall_timeout),
            ("answer_timeout", self.answer_timeout),
            ("idle_timeout", self.idle_timeout),
            ("drain_timeout", self.drain_timeout),
            ("hold_timeout", self.hold_timeout),
            ("hold_event_interval", self.hold_event_interval),
            ("max_lifetime", self.max_lifetime.unwrap_or(Duration::from_secs(1))),
        ] {
            if duration > crate::duration::LONGEST {
                return wrong(field, "must be at most a year");
            }
        }
        if self.max_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return wrong("max_lifetime", "must be greater than zero; leave it out for no limit");
        }
        Ok(())
    }

    /// The requests per replica, in flight and held, above which another replica is wanted.
    pub fn requests_per_replica(&self) -> u32 {
        let most = self.max_concurrency.unwrap_or(u32::MAX);
        self.target_concurrency.min(most).max(1)
    }

    /// The spec as answers show it: without the plain text of its environment.
    #[must_use]
    pub fn masked(mut self) -> Self {
        for value in self.env.values_mut() {
            *value = value.masked();
        }
        self
    }

    /// The spec that a caller means who read it [`masked`](Self::masked): hidden values are those
    /// that stand.
    pub fn unmasked(&self, standing: Option<&Self>) -> Result<Self, SpecError> {
        let env = env::unmask(&self.env, standing.map(|spec| &spec.env))?;
        Ok(Self { env, ..self.clone() })
    }

    /// What a new instance of this spec runs.
    pub fn engine(&self) -> Engine {
        Engine {
            command: self.command.clone(),
            env: self.env.clone(),
            working_dir: self.working_dir.clone(),
            health_path: self.health_path.clone(),
            port: self.port,
        }
    }

    /// The hash of [`ModelSpec::engine`]: a spec that differs elsewhere needs no new instance.
    pub fn hash(&self) -> SpecHash {
        SpecHash::of(&self.engine())
    }

    /// The hash of all that a launch tries: after a failure, another may be tried at once.
    pub fn launch_hash(&self) -> SpecHash {
        SpecHash::of_launch(&self.engine(), &self.rungs())
    }

    /// The ladder, never empty.
    pub fn rungs(&self) -> Vec<Placement> {
        if self.ladder.is_empty() { vec![Placement::local()] } else { self.ladder.clone() }
    }
}

impl Model {
    const PARTITION: &'static str = "MODELS";

    /// The name that requests carry to its replicas.
    pub fn upstream_name(&self) -> &str {
        self.spec.upstream_model.as_deref().unwrap_or(self.name.as_str())
    }

    /// Whether its replicas begin requests in the order of their field `priority`, as vLLM does on
    /// `--scheduling-policy priority`. Without that it refuses all but 0, so nobody else is sent one.
    pub fn orders_by_priority(&self) -> bool {
        let mut words = self.spec.command.iter().map(String::as_str);
        let is_flag = |word: &&str| word.starts_with("--scheduling-policy");
        words.find(is_flag).is_some_and(|flag| match flag.split_once('=') {
            Some((_, policy)) => policy == "priority",
            None => words.next() == Some("priority"),
        })
    }

    /// Where the record of `name` stands: beside its slots, so that one listing reads all of it.
    pub fn key_of(name: &ModelName) -> Key {
        Key::new(format!("MODEL#{name}"), "MODEL")
    }

    /// The model whose record stands at `key`.
    pub fn name_at(key: &Key) -> Option<ModelName> {
        key.partition.strip_prefix("MODEL#")?.parse().ok()
    }

    /// Lists every model, by name. A new one may be missing for a moment.
    pub fn all() -> Query {
        Query::new(Table::Index, Self::PARTITION, "")
    }

    /// Replicas that may run: none of a deleted model.
    pub fn max_replicas(&self) -> u32 {
        if self.deleted_at.is_some() { 0 } else { self.spec.max_replicas }
    }

    /// What orders models that share an alias, as those of version 0.1.0 may: the first one
    /// answers to it.
    pub fn seniority(&self) -> (Timestamp, &ModelName) {
        (self.created_at, &self.name)
    }

    /// Whether callers may ask for it by `name`.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name.as_str() == name || self.spec.aliases.iter().any(|alias| alias.as_str() == name)
    }
}

impl Entity for Model {
    const KIND: &'static str = "model";

    fn key(&self) -> Key {
        Self::key_of(&self.name)
    }

    fn index(&self) -> Option<IndexKey> {
        Some(IndexKey { partition: Self::PARTITION.into(), sort: self.name.to_string() })
    }
}
