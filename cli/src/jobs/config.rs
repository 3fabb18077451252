//! `[jobs]` of `diogenes.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use diogenes_api::jobs::{
    CommandKind, CommandSpec, Commands, HttpJobs, Template, TemplateSpec, Templates,
};
use diogenes_api::outbound::OutboundRules;
use diogenes_core::batches::Batch;
use diogenes_core::datasets::{EXPORT, IMPORT};
use diogenes_core::evals::EvalRun;
use diogenes_core::jobs::{MAX_ATTEMPTS, MAX_LABEL, QueueName, WEBHOOK};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::serve::head::head_of;
use crate::serve::lines::{line_of, line_of_field};

/// How many batches run at once. Those of one model share what it has.
const BATCHES: usize = 16;
/// How many evals run at once. Those of one model share what it has.
const EVALS: usize = 8;
/// How many requests of jobs are under way at once.
const REQUESTS: usize = 16;
/// How many imports of datasets, and how many exports, run at once: each takes a core.
const TRANSFERS: usize = 2;
/// How many programs of jobs run at once.
const PROGRAMS: usize = 4;
/// The most that a queue may have at once in one process.
const MOST: usize = 10_000;

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsTable {
    /// Networks and hosts that requests of jobs may go to though they are not public.
    #[serde(default)]
    http_allow: Vec<String>,
    /// How many jobs of a queue this process has at once.
    #[serde(default)]
    queues: BTreeMap<String, Spanned<usize>>,
    /// The programs that jobs may run.
    #[serde(default)]
    commands: BTreeMap<String, Spanned<CommandSpec>>,
    /// Jobs that callers need only name.
    #[serde(default)]
    templates: BTreeMap<String, Spanned<TemplateSpec>>,
}

/// How jobs are run.
#[derive(Clone, Debug)]
pub(crate) struct JobsConfig {
    pub(crate) outbound: OutboundRules,
    /// How many jobs of each queue `serve` has at once; 0 for queues that only others work on.
    pub(crate) queues: BTreeMap<QueueName, usize>,
    pub(crate) commands: Commands,
    pub(crate) templates: Templates,
}

impl JobsTable {
    /// The table of a file, or what there is without one.
    pub(crate) fn in_file(
        table: Option<Spanned<Self>>,
        text: &str,
        path: &Path,
    ) -> anyhow::Result<JobsConfig> {
        let line = table.as_ref().map_or(1, |table| line_of(text, table.span().start));
        table.map(Spanned::into_inner).unwrap_or_default().read(text, line, path)
    }

    /// Checks what serde cannot. `text` is the whole file, and `at` where the table begins in it.
    fn read(self, text: &str, at: usize, path: &Path) -> anyhow::Result<JobsConfig> {
        let named = |line: usize, key: &str| format!("{}:{line}: {key}", path.display());
        let outbound = OutboundRules::parse(&self.http_allow).map_err(|error| {
            let line = line_of_field(text, at, "http_allow");
            anyhow::anyhow!("{}: {error}", named(line, "jobs.http_allow"))
        })?;
        let commands = commands(self.commands, text, path)?;
        let templates = templates(self.templates, text, path)?;
        let mut queues: BTreeMap<QueueName, usize> = [
            (Batch::JOB, BATCHES),
            (EvalRun::JOB, EVALS),
            (HttpJobs::JOB, REQUESTS),
            (WEBHOOK, REQUESTS),
            (IMPORT, TRANSFERS),
            (EXPORT, TRANSFERS),
            (CommandKind::JOB, PROGRAMS),
        ]
        .iter()
        .map(|(kind, most)| (QueueName::from(kind), *most))
        .collect();
        for (name, most) in self.queues {
            let (line, most) = (line_of(text, most.span().start), most.into_inner());
            let key = format!("jobs.queues.{name}");
            let queue: QueueName =
                name.parse().map_err(|error| anyhow::anyhow!("{}: {error}", named(line, &key)))?;
            if most > MOST {
                anyhow::bail!("{}: must be at most {MOST}", named(line, &key));
            }
            queues.insert(queue, most);
        }
        Ok(JobsConfig { outbound, queues, commands, templates })
    }
}

/// The table of the file that `serve` would read. Nothing else of the file has to be right.
pub(crate) fn configured(named: Option<&Path>) -> anyhow::Result<JobsConfig> {
    #[derive(Deserialize)]
    struct Head {
        jobs: Option<Spanned<JobsTable>>,
    }
    let next = "fix it, or name another file with --config";
    let Some((path, text, head)) = head_of::<Head>(named, next)? else {
        return JobsTable::in_file(None, "", Path::new(""));
    };
    JobsTable::in_file(head.jobs, &text, &path)
}

fn commands(
    file: BTreeMap<String, Spanned<CommandSpec>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<Commands> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut commands = Commands::new();
    for (name, spec) in file {
        let table = line_of(text, spec.span().start);
        let at = |line: usize| format!("{}:{line}: jobs.commands.{name}", path.display());
        if name.is_empty() || name.len() > MAX_LABEL || name.chars().any(char::is_control) {
            anyhow::bail!("{}: a command's name has 1 to {MAX_LABEL} bytes", at(table));
        }
        let mut spec = spec.into_inner();
        if let Some((key, problem)) = spec.problem() {
            anyhow::bail!("{}: `{key}` {problem}", at(line_of_field(text, table, key)));
        }
        // A relative path is one from the file that it stands in.
        spec.directory = spec.directory.map(|directory| folder.join(directory));
        commands.insert(name, spec);
    }
    Ok(commands)
}

fn templates(
    file: BTreeMap<String, Spanned<TemplateSpec>>,
    text: &str,
    path: &Path,
) -> anyhow::Result<Templates> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut templates = Templates::new();
    for (name, spec) in file {
        let table = line_of(text, spec.span().start);
        let at = |key: &str| {
            let line = line_of_field(text, table, key);
            format!("{}:{line}: jobs.templates.{name}", path.display())
        };
        if name.is_empty() || name.len() > MAX_LABEL || name.chars().any(char::is_control) {
            anyhow::bail!("{}: a template's name has 1 to {MAX_LABEL} bytes", at(""));
        }
        let mut spec = spec.into_inner();
        if spec.max_attempts.is_some_and(|most| !(1..=MAX_ATTEMPTS).contains(&most)) {
            anyhow::bail!("{}: `max_attempts` must be 1 to {MAX_ATTEMPTS}", at("max_attempts"));
        }
        if let Some(Value::String(file)) = &spec.schema {
            let schema = folder.join(file);
            let unreadable = || format!("{}: the schema `{}`", at("schema"), schema.display());
            let text = std::fs::read_to_string(&schema).with_context(unreadable)?;
            spec.schema = Some(serde_json::from_str(&text).with_context(unreadable)?);
        }
        let template = Template::new(spec).with_context(|| at("schema"))?;
        templates.insert(name, template);
    }
    Ok(templates)
}
