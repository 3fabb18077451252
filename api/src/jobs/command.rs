//! What jobs of the kind `command` are: programs that the operator has named, and what a job may
//! give them. What runs them is not here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use diogenes_core::duration::LONGEST;
use diogenes_core::jobs::{JobKind, Needs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kinds::{BadArguments, Draft, Kind, read};

/// The most arguments that a job gives.
const MOST_ARGUMENTS: usize = 256;

/// A program that jobs may run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its first arguments. `{name}` in an argument is replaced by that value of the
    /// job; without such places the job's arguments are added at the end.
    pub program: Vec<String>,
    /// Where it runs; the worker's own directory when absent.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Added to the worker's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long an attempt may take, unless the job says.
    #[serde(default, with = "diogenes_core::duration::option")]
    pub timeout: Option<Duration>,
    /// What it needs of its worker.
    #[serde(default)]
    pub needs: Needs,
    /// Exit codes that another attempt does not help.
    #[serde(default)]
    pub final_codes: BTreeSet<u8>,
    /// How long it may take to end after SIGTERM.
    #[serde(default = "kill_grace", with = "diogenes_core::duration")]
    pub kill_grace: Duration,
}

fn kill_grace() -> Duration {
    Duration::from_secs(10)
}

/// The longest [`kill_grace`](CommandSpec::kill_grace): less than a worker's own grace.
pub const LONGEST_KILL_GRACE: Duration = Duration::from_secs(15);

/// The commands of a worker or a server.
pub type Commands = BTreeMap<String, CommandSpec>;

/// Which command runs, and with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandArguments {
    pub command: String,
    /// Added at the end of the program's own arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Put where the program's arguments have places for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

impl CommandSpec {
    /// The key at fault and what is wrong with it, if anything is.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let has_nul = |text: &String| text.contains('\0');
        match self.program.first() {
            None => return Some(("program", "must name a program")),
            Some(program) if program.trim().is_empty() => {
                return Some(("program", "must name a program"));
            }
            Some(program) if !places(program).is_empty() => {
                return Some(("program", "must not let jobs choose the program itself"));
            }
            Some(_) => {}
        }
        if self.program.iter().any(has_nul) {
            return Some(("program", "must not hold NUL"));
        }
        if self
            .env
            .iter()
            .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || has_nul(value))
        {
            return Some(("env", "must hold names without `=` and no NUL"));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero() || timeout > LONGEST) {
            return Some(("timeout", "must be more than 0 and at most a year"));
        }
        if self.kill_grace > LONGEST_KILL_GRACE {
            return Some(("kill_grace", "must be at most 15s, so that a worker can end in time"));
        }
        if self.needs.command.is_some() {
            return Some(("needs", "takes `cpu`, `memory` and `gpu`"));
        }
        None
    }

    /// The program and all of its arguments.
    ///
    /// # Errors
    /// A place without a value, a value without a place, or text that no program can be given.
    pub fn line(&self, given: &CommandArguments) -> Result<Vec<String>, BadArguments> {
        if given.arguments.len() > MOST_ARGUMENTS {
            let problem = format!("must have at most {MOST_ARGUMENTS} entries");
            return Err(BadArguments::wrong("arguments", problem));
        }
        if let Some(at) = given.arguments.iter().position(|text| text.contains('\0')) {
            return Err(BadArguments::wrong(format!("arguments[{at}]"), "must not hold NUL"));
        }
        let wanted: BTreeSet<_> = self.program.iter().flat_map(|text| places(text)).collect();
        if !wanted.is_empty() && !given.arguments.is_empty() {
            let problem = format!(
                "cannot be given to `{}`; it takes `values`: {}",
                given.command,
                listed(&wanted)
            );
            return Err(BadArguments::wrong("arguments", problem));
        }
        for (name, value) in &given.values {
            let field = || format!("values.{name}");
            if !wanted.contains(name.as_str()) {
                let problem = if wanted.is_empty() {
                    format!("is not a value of `{}`, which takes `arguments`", given.command)
                } else {
                    format!("is not a value of `{}`; use {}", given.command, listed(&wanted))
                };
                return Err(BadArguments::wrong(field(), problem));
            }
            if value.contains('\0') {
                return Err(BadArguments::wrong(field(), "must not hold NUL"));
            }
        }
        if let Some(name) = wanted.iter().find(|name| !given.values.contains_key(**name)) {
            let problem = format!("is missing; `{}` needs it", given.command);
            return Err(BadArguments::wrong(format!("values.{name}"), problem));
        }
        let filled = self.program.iter().map(|text| filled(text, &given.values));
        Ok(filled.chain(given.arguments.iter().cloned()).collect())
    }
}

/// The kind `command`, for those who create jobs of it.
pub struct CommandKind {
    commands: Commands,
}

impl CommandKind {
    /// The kind; its jobs wait in the queue of the same name.
    pub const JOB: JobKind = JobKind::known("command");

    pub fn new(commands: Commands) -> Self {
        Self { commands }
    }
}

impl Kind for CommandKind {
    fn draft(&self, arguments: Value) -> Result<Draft, BadArguments> {
        let given: CommandArguments = read(arguments.clone())?;
        let Some(spec) = self.commands.get(&given.command) else {
            let known: BTreeSet<_> = self.commands.keys().map(String::as_str).collect();
            let problem = if known.is_empty() {
                "cannot be run: no command is configured; add one to `[jobs.commands]`".to_owned()
            } else {
                format!("must be one of the configured commands: {}", listed(&known))
            };
            return Err(BadArguments::wrong("command", problem));
        };
        spec.line(&given)?;
        let needs = Needs { command: Some(given.command), ..spec.needs.clone() };
        Ok(Draft { arguments, timeout: spec.timeout, needs })
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The places of a text, `{name}`; other braces are left alone.
fn places(text: &str) -> Vec<&str> {
    pieces(text).into_iter().filter_map(|(_, place)| place).collect()
}

/// A text with its places filled. A value is put in as it is: it makes no place and no second
/// argument.
fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    pieces(text)
        .into_iter()
        .flat_map(|(before, place)| {
            [before, place.and_then(|place| values.get(place)).map_or("", String::as_str)]
        })
        .collect()
}

/// The text before each place, and the place; at the end the rest.
fn pieces(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(found) = rest.get(from..).and_then(|tail| tail.find('{')) {
        let open = from + found;
        let name = rest.get(open + 1..).and_then(|tail| tail.split_once('}')).map(|(name, _)| name);
        match name.filter(|name| is_name(name)) {
            Some(name) => {
                let (before, after) = rest.split_at(open);
                pieces.push((before, Some(name)));
                rest = after.get(name.len() + 2..).unwrap_or_default();
                from = 0;
            }
            None => from = open + 1,
        }
    }
    pieces.push((rest, None));
    pieces
}

fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: Value) -> CommandSpec {
        serde_json::from_value(value).unwrap()
    }

    fn kind() -> CommandKind {
        let train = spec(json!({
            "program": ["train", "--rate={rate}", "{{model}}", "{data}"],
            "timeout": "1h", "needs": {"gpu": 1, "memory": "1GiB"},
        }));
        let echo = spec(json!({"program": ["echo", "-n", "{", "}", "{Not}"]}));
        CommandKind::new([("train".to_owned(), train), ("echo".to_owned(), echo)].into())
    }

    #[test]
    fn values_fill_their_places_and_arguments_are_added() {
        let kind = kind();
        let given = |value| read::<CommandArguments>(value).unwrap();
        let train = given(json!({
            "command": "train", "values": {"rate": "{data} 1", "data": "-x", "model": "m"},
        }));
        assert_eq!(
            kind.commands["train"].line(&train).unwrap(),
            ["train", "--rate={data} 1", "{m}", "-x"]
        );
        let echo = given(json!({"command": "echo", "arguments": ["{a}", "$(id); ls"]}));
        let line = kind.commands["echo"].line(&echo).unwrap();
        assert_eq!(line, ["echo", "-n", "{", "}", "{Not}", "{a}", "$(id); ls"]);
    }

    #[test]
    fn a_command_says_what_its_jobs_need() {
        let arguments =
            json!({"command": "train", "values": {"rate": "1", "data": "d", "model": "m"}});
        let draft = kind().draft(arguments.clone()).unwrap();
        let needs = Needs { cpu: 0, memory: 1 << 30, gpu: 1, command: Some("train".into()) };
        let wanted = Draft { arguments, timeout: Some(Duration::from_hours(1)), needs };
        assert_eq!(draft, wanted);
    }

    #[test]
    fn arguments_that_make_no_sense_name_the_field() {
        for (arguments, field, part) in [
            (json!({"command": "rm"}), "command", "`echo`, `train`"),
            (json!({"command": ""}), "command", "must be one of"),
            (json!({"command": "train"}), "values.data", "is missing"),
            (json!({"command": "train", "arguments": ["x"]}), "arguments", "it takes `values`"),
            (json!({"command": "echo", "values": {"a": "b"}}), "values.a", "takes `arguments`"),
            (json!({"command": "echo", "arguments": ["a\0b"]}), "arguments[0]", "NUL"),
            (json!({"command": "echo", "arguments": vec!["x"; 257]}), "arguments", "at most 256"),
        ] {
            match kind().draft(arguments.clone()) {
                Err(BadArguments::Wrong { field: found, problem }) => {
                    assert_eq!(found, field, "{arguments}");
                    assert!(problem.contains(part), "{arguments}: {problem}");
                }
                other => panic!("{arguments}: {other:?}"),
            }
        }
        for arguments in
            [json!({}), json!({"command": 1}), json!({"command": "echo", "shell": true})]
        {
            let found = kind().draft(arguments.clone());
            assert!(matches!(found, Err(BadArguments::Unreadable { .. })), "{found:?}");
        }
    }

    #[test]
    fn commands_that_make_no_sense_name_the_key() {
        for (command, key) in [
            (json!({"program": []}), "program"),
            (json!({"program": [" "]}), "program"),
            (json!({"program": ["{shell}"]}), "program"),
            (json!({"program": ["a"], "env": {"A=": "b"}}), "env"),
            (json!({"program": ["a"], "timeout": 0}), "timeout"),
            (json!({"program": ["a"], "kill_grace": "1m"}), "kill_grace"),
            (json!({"program": ["a"], "needs": {"command": "b"}}), "needs"),
        ] {
            let found = spec(command.clone()).problem();
            assert_eq!(found.map(|(key, _)| key), Some(key), "{command}");
        }
        assert_eq!(spec(json!({"program": ["a"]})).problem(), None);
    }
}
