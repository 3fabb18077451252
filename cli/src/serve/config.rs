use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use diogenes_backends::process;
use diogenes_core::fleet::ModelSpec;
use diogenes_core::gateway::prices::RateCard;
use diogenes_core::gateway::{ProviderSpec, ProviderSpecs, RouteSpec, Routes};
use diogenes_core::name::{ModelName, nearest};
use serde::Deserialize;
use toml::Spanned;

use super::ServeArgs;
use super::files::FilesConfig;
use super::head::{DEFAULT_FILE, head_of, text_of};
use super::lines::{line_of, line_of_field};
use super::telemetry::{Bad, BadKey, TelemetryConfig, TelemetryTable};
use crate::jobs::{JobsConfig, JobsTable};
use crate::wording::plain;

/// What `serve` runs with: the file, overruled by the environment, overruled by flags.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file, if one was read.
    pub(crate) file: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) on_shutdown: OnShutdown,
    pub(crate) drain_timeout: Duration,
    pub(crate) kill_grace: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) models: BTreeMap<ModelName, ModelSpec>,
    pub(crate) routes: Routes,
    pub(crate) providers: ProviderSpecs,
    /// A file with prices that go before the embedded ones.
    pub(crate) prices: Option<PathBuf>,
    /// What models of the fleet cost.
    pub(crate) rate_cards: BTreeMap<ModelName, RateCard>,
    /// Where telemetry goes, if anywhere.
    pub(crate) telemetry: Option<TelemetryConfig>,
    /// How jobs are run.
    pub(crate) jobs: JobsConfig,
    /// How much room files may take.
    pub(crate) files: FilesConfig,
}

/// What becomes of the inference servers when `serve` ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnShutdown {
    /// Stop them too
    #[default]
    Stop,
    /// Leave them running; the next `serve` takes them over
    Leave,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, deserialize_with = "listen")]
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    on_shutdown: Option<OnShutdown>,
    #[serde(default, with = "diogenes_core::duration::option")]
    drain_timeout: Option<Duration>,
    #[serde(default, with = "diogenes_core::duration::option")]
    kill_grace: Option<Duration>,
    max_body_bytes: Option<usize>,
    #[serde(default)]
    models: BTreeMap<String, Spanned<ModelSpec>>,
    #[serde(default)]
    routes: BTreeMap<String, Spanned<RouteSpec>>,
    #[serde(default)]
    providers: BTreeMap<String, Spanned<ProviderSpec>>,
    prices: Option<PathBuf>,
    #[serde(default)]
    rate_cards: BTreeMap<String, Spanned<RateCard>>,
    telemetry: Option<Spanned<TelemetryTable>>,
    #[serde(default)]
    jobs: Option<Spanned<JobsTable>>,
    #[serde(default)]
    files: FilesConfig,
}

impl Config {
    /// Reads the file and lays the environment and the flags over it.
    pub(crate) fn load(args: &ServeArgs) -> anyhow::Result<Self> {
        let path = args.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let is_there = args.config.is_some() || path.exists();
        let (file, text) = if is_there { read(path)? } else { (File::default(), String::new()) };
        let data_dir = args.data_dir.clone().or(file.data_dir).map_or_else(default_data_dir, Ok)?;
        let models = models_of(file.models, &text, path)?;
        let providers = providers_of(file.providers, &text, path)?;
        let routes = routes_of(&file.routes, &models, &text, path)?;
        let rate_cards = rate_cards_of(file.rate_cards, &text, path)?;
        let telemetry = telemetry_of(file.telemetry, &text, path)?;
        let jobs = JobsTable::in_file(file.jobs, &text, path)?;
        Ok(Self {
            file: is_there.then(|| std::path::absolute(path).unwrap_or_else(|_| path.into())),
            listen: args.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            data_dir,
            on_shutdown: args.on_shutdown.or(file.on_shutdown).unwrap_or_default(),
            drain_timeout: args
                .drain_timeout
                .or(file.drain_timeout)
                .unwrap_or(Duration::from_secs(30)),
            kill_grace: file.kill_grace.unwrap_or(Duration::from_secs(10)),
            max_body_bytes: args.max_body_bytes.or(file.max_body_bytes).unwrap_or(32 << 20),
            models,
            routes,
            providers,
            // A relative path is one from the file that it stands in.
            prices: file.prices.map(|prices| path.parent().unwrap_or(Path::new("")).join(prices)),
            rate_cards,
            telemetry,
            jobs,
            files: file.files,
        })
    }
}

/// Checks what serde cannot: names, values that make no sense, names that are given twice.
fn models_of(
    file: BTreeMap<String, Spanned<ModelSpec>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<BTreeMap<ModelName, ModelSpec>> {
    let mut models: BTreeMap<ModelName, ModelSpec> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    let mut ports = BTreeMap::new();
    for (name, spec) in file {
        let table = line_of(text, spec.span().start);
        let at = |line: usize| format!("{}:{line}: {}", path.display(), key_of("models", &name));
        let parsed: ModelName = name.parse().with_context(|| at(table))?;
        let spec = spec.into_inner();
        // A file has no earlier values, so that a mask in it means nothing.
        let checked = spec.validate().and_then(|()| spec.unmasked(None));
        let spec = checked.and_then(process::RULE.admit).map_err(|error| {
            anyhow::anyhow!("{}: {error}", at(line_of_field(text, table, error.field)))
        })?;
        lines.insert(parsed.clone(), line_of_field(text, table, "aliases"));
        ports.insert(parsed.clone(), line_of_field(text, table, "port"));
        models.insert(parsed, spec);
    }
    for (name, spec) in &models {
        let others = models.iter().filter(|(other, _)| *other != name);
        spec.validate_own_port(others).map_err(|error| {
            let line = ports.get(name).copied().unwrap_or(1);
            anyhow::anyhow!(
                "{}:{line}: {}: {error}",
                path.display(),
                key_of("models", name.as_str())
            )
        })?;
    }
    for (name, line) in lines {
        let aliases = models.get(&name).map(|spec| spec.aliases.as_slice()).unwrap_or_default();
        let taken = aliases.iter().find_map(|alias| {
            let other = models.iter().find(|(other, spec)| {
                **other != name && (*other == alias || spec.aliases.contains(alias))
            })?;
            Some((alias, other.0))
        });
        if let Some((alias, other)) = taken {
            bail!(
                "{}:{line}: {}: model `{other}` uses `{alias}` too; choose another alias",
                path.display(),
                key_of("models", name.as_str())
            );
        }
    }
    Ok(models)
}

/// Checks the providers: names, and values that make no sense.
fn providers_of(
    file: BTreeMap<String, Spanned<ProviderSpec>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<ProviderSpecs> {
    let mut providers = ProviderSpecs::new();
    for (name, spec) in file {
        let table = line_of(text, spec.span().start);
        let at = |line: usize| format!("{}:{line}: {}", path.display(), key_of("providers", &name));
        let parsed = name.parse().with_context(|| at(table))?;
        let spec = spec.into_inner();
        if let Err(error) = spec.validate() {
            bail!("{}: {error}", at(line_of_field(text, table, error.field)));
        }
        providers.insert(parsed, spec);
    }
    Ok(providers)
}

/// Checks the routes: names, targets, and that no model hides one.
fn routes_of(
    file: &BTreeMap<String, Spanned<RouteSpec>>,
    models: &BTreeMap<ModelName, ModelSpec>,
    text: &str,
    path: &Path,
) -> anyhow::Result<Routes> {
    let names: Vec<&str> = file.keys().map(String::as_str).collect();
    let mut routes = Routes::new();
    for (name, spec) in file {
        let table = line_of(text, spec.span().start);
        let at = |line: usize| format!("{}:{line}: {}", path.display(), key_of("routes", name));
        let parsed: ModelName = name.parse().with_context(|| at(table))?;
        let spec = spec.get_ref();
        let targets = at(line_of_field(text, table, "targets"));
        if let Err(error) = spec.validate() {
            bail!("{targets}: {error}");
        }
        if let Some(target) = spec.models().find(|target| names.contains(&target.as_str())) {
            bail!("{targets}: `{target}` is a route; the targets of a route must be models");
        }
        let hides =
            models.iter().find(|(model, spec)| **model == parsed || spec.aliases.contains(&parsed));
        if let Some((model, _)) = hides {
            bail!("{}: model `{model}` already uses this name; choose another one", at(table));
        }
        routes.insert(parsed, spec.clone());
    }
    Ok(routes)
}

/// What models of the fleet cost. They need not be models of the file: the API may add some.
fn rate_cards_of(
    file: BTreeMap<String, Spanned<RateCard>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<BTreeMap<ModelName, RateCard>> {
    let read = |(name, card): (String, Spanned<RateCard>)| {
        let line = line_of(text, card.span().start);
        let at = || format!("{}:{line}: {}", path.display(), key_of("rate_cards", &name));
        let name = name.parse().with_context(at)?;
        let card = card.into_inner();
        card.validate().with_context(at)?;
        Ok((name, card))
    };
    file.into_iter().map(read).collect()
}

/// Where telemetry goes, by the file and the environment.
fn telemetry_of(
    file: Option<Spanned<TelemetryTable>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<Option<TelemetryConfig>> {
    let line = file.as_ref().map_or(1, |table| line_of(text, table.span().start));
    let at =
        |key: &str| format!("{}:{}: telemetry", path.display(), line_of_field(text, line, key));
    let table = file.map(Spanned::into_inner).unwrap_or_default();
    table.over(|name| std::env::var(name).ok(), at).map_err(|bad| match bad {
        Bad::Key(BadKey { key, problem }) => anyhow::anyhow!("{}: `{key}` {problem}", at(key)),
        Bad::Variable(error) => error,
    })
}

/// A table as it is written: `models.demo`, `models."org/demo"`.
fn key_of(table: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        format!("{table}.{name}")
    } else {
        format!("{table}.{name:?}")
    }
}

/// Parses `HOST:PORT`; a host name is looked up once.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(|| {
        format!("`{text}` is not an address to listen on; use `127.0.0.1:8080` or `localhost:8080`")
    })
}

fn listen<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(reader)?;
    parse_listen(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Where state is kept unless told otherwise: `$XDG_DATA_HOME/diogenes`.
pub(crate) fn default_data_dir() -> anyhow::Result<PathBuf> {
    let base =
        std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    base.or_else(|| home.map(|home| PathBuf::from(home).join(".local/share")))
        .map(|base| base.join("diogenes"))
        .context("neither XDG_DATA_HOME nor HOME is set; name a directory with --data-dir")
}

/// The data directory of the file that `serve` would read. Nothing else of the file has to be
/// right.
pub(crate) fn configured_data_dir(named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    #[derive(Deserialize)]
    struct Head {
        data_dir: Option<PathBuf>,
    }
    let head = head_of::<Head>(named, "fix it, or name the data directory with --data-dir")?;
    Ok(head.and_then(|(_, _, head)| head.data_dir))
}

fn read(path: &Path) -> anyhow::Result<(File, String)> {
    let text = text_of(path)?;
    let file = parse(&text).map_err(|problem| {
        anyhow::anyhow!("{}:{}: {}", path.display(), problem.line, problem.text)
    })?;
    Ok((file, text))
}

#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    text: String,
}

fn parse(text: &str) -> Result<File, Problem> {
    let broken = |error: &toml::de::Error, path: &str| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let key = if path.is_empty() || path == "." { String::new() } else { format!("{path}: ") };
        Problem {
            line,
            text: format!("{key}{}{}", plain(error.message()), hint(error.message(), path)),
        }
    };
    let reader = toml::Deserializer::parse(text).map_err(|error| broken(&error, ""))?;
    serde_path_to_error::deserialize(reader).map_err(|error| {
        // A `Spanned` value is a map to serde.
        let path = error.path().to_string().replace(".$__serde_spanned_private_value", "");
        broken(error.inner(), &path)
    })
}

/// What to do about serde's "unknown field `x`, expected one of `a`, `b`".
fn hint(message: &str, path: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(wrong) = names.next().filter(|_| message.starts_with("unknown field")) else {
        return String::new();
    };
    match nearest(wrong, names) {
        Some(near) => format!("; did you mean `{near}`?"),
        // `[models.llama3.1]` is a table `1` in a model `llama3`.
        None if path.starts_with("models.") => {
            "; put a model name that contains dots in quotes: [models.\"a.b\"]".into()
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_names_line_and_key() {
        for (text, line, part) in [
            ("listen = 5", 1, "listen: "),
            ("\nlisten = \"127.0.0.1\"", 2, "listen: "),
            ("lisen = \"127.0.0.1:80\"", 1, "did you mean `listen`?"),
            ("[models.demo]\ncommand = \"vllm\"", 2, "models.demo.command"),
            ("[models.demo]\ncommand = [\"x\"]\nidle_timeout = \"soon\"", 3, "is not a duration"),
            (
                "[models.demo]\ncommand = [\"x\"]\nidel_timeout = \"1s\"",
                3,
                "did you mean `idle_timeout`?",
            ),
            ("[models.demo]\nmin_replicas = 1", 1, "missing field `command`"),
            ("[models.llama3.1]\ncommand = [\"x\"]", 1, "that contains dots in quotes"),
            (
                "[providers.openai]\nkind = \"openai\"\nbase_url = \"https://a\"\napi_key = \"sk-1\"",
                4,
                "name where the secret is kept",
            ),
            ("[providers.openai]\nkind = \"open\"", 2, "providers.openai.kind"),
            ("[models", 1, ""),
            ("a = 1\na = 2", 2, "duplicate"),
        ] {
            let problem = parse(text).expect_err(text);
            assert_eq!(problem.line, line, "{text}: {problem:?}");
            assert!(problem.text.contains(part), "{text}: {problem:?}");
        }
    }

    #[test]
    fn a_whole_file_is_read() {
        let file = parse(
            "listen = \"127.0.0.1:9000\"\non_shutdown = \"leave\"\ndrain_timeout = \"5s\"\n\
             [models.\"Qwen/Qwen3-8B\"]\ncommand = [\"vllm\", \"{port}\"]\nidle_timeout = \"10m\"\n",
        )
        .expect("valid");
        assert_eq!(file.on_shutdown, Some(OnShutdown::Leave));
        assert!(file.models.contains_key("Qwen/Qwen3-8B"));
    }
}
