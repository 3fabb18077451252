//! What a job is to do, as options of the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diogenes_api::control::{CallbackBody, ScheduledJob};
use diogenes_core::jobs::{JobKind, Priority, QueueName};
use serde_json::{Map, Value};

use crate::exit::{Failure, Kind};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Wanted {
    /// The kind: `http` or `command`
    #[arg(required_unless_present = "template", conflicts_with = "template")]
    kind: Option<JobKind>,
    /// A job that the operator has prepared, instead of a kind; see `diogenes job templates`
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// An argument: NAME=TEXT, or NAME:=JSON for anything else; dots lead into objects
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = argument)]
    args: Vec<Argument>,
    /// Read arguments from a JSON file; `-` is standard input. --arg overrides what is in it
    #[arg(long, value_name = "FILE")]
    arguments: Option<PathBuf>,
    /// The queue that it waits in [default: that of the kind]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// 1, the most urgent, to 4 [default: 2]
    #[arg(long, value_name = "NUMBER", value_parser = priority)]
    priority: Option<Priority>,
    /// How often it is tried, 1 to 100 [default: 5]
    #[arg(long, value_name = "NUMBER")]
    max_attempts: Option<u32>,
    /// How long an attempt may take
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    timeout: Option<Duration>,
    /// Keep this with the job; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Tell this URL by a signed request (a webhook) that it has ended
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
}

impl Wanted {
    /// The same as the API takes it.
    pub(in crate::commands) fn body(self) -> Result<ScheduledJob, Failure> {
        let mut arguments = self.arguments.as_deref().map_or_else(|| Ok(Map::new()), read)?;
        for Argument { path, value } in self.args {
            set(&mut arguments, &path, value)?;
        }
        Ok(ScheduledJob {
            kind: self.kind,
            template: self.template,
            arguments,
            queue: self.queue,
            priority: self.priority,
            max_attempts: self.max_attempts,
            timeout: self.timeout,
            tags: self.tags.into_iter().collect(),
            callback: self.callback.map(|url| CallbackBody { url }),
        })
    }
}

/// A value, and where it goes in an object.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Argument {
    pub(in crate::commands) path: Vec<String>,
    pub(in crate::commands) value: Value,
}

pub(in crate::commands) fn argument(text: &str) -> Result<Argument, String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=TEXT or NAME:=JSON")?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let value = serde_json::from_str(value);
            (name, value.map_err(|error| format!("the value is not JSON: {error}"))?)
        }
        None => (name, Value::from(value)),
    };
    let path: Vec<_> = name.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err("a name is missing before `=`".into());
    }
    Ok(Argument { path, value })
}

fn priority(text: &str) -> Result<Priority, String> {
    let number = text.parse::<u8>().unwrap_or(0);
    Priority::try_from(number).map_err(|_| "use 1 (the most urgent) to 4".into())
}

pub(in crate::commands) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Puts a value where the path leads to.
pub(in crate::commands) fn set(
    into: &mut Map<String, Value>,
    path: &[String],
    value: Value,
) -> Result<(), Failure> {
    match path {
        [] => Ok(()),
        [name] => {
            into.insert(name.clone(), value);
            Ok(())
        }
        [name, rest @ ..] => {
            match into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(inner) => set(inner, rest, value),
                _ => Err(Kind::Config.because(format!("the argument `{name}` is not an object"))),
            }
        }
    }
}

/// The object in a JSON file, or on standard input for `-`.
pub(in crate::commands) fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let mut text = String::new();
    let done = if file == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    let named = |error: anyhow::Error, what: &str| Failure {
        kind: Kind::Config,
        error: error.context(format!("the arguments in `{}` {what}", file.display())),
    };
    done.map_err(|error| named(error.into(), "cannot be read; check the path"))?;
    serde_json::from_str(&text).map_err(|error| named(error.into(), "are not a JSON object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_lead_into_objects() {
        let mut arguments = Map::new();
        for text in ["url=https://a/?b=c", "json.a.b:=[1]", "json.c=1", "timeout=5s"] {
            let Argument { path, value } = argument(text).unwrap();
            set(&mut arguments, &path, value).unwrap();
        }
        let wanted = json!({
            "url": "https://a/?b=c", "json": {"a": {"b": [1]}, "c": "1"}, "timeout": "5s",
        });
        assert_eq!(Value::Object(arguments.clone()), wanted);
        assert!(set(&mut arguments, &["url".into(), "a".into()], json!(1)).is_err());
        for wrong in ["url", "=a", "a..b=c", "a:={"] {
            assert!(argument(wrong).is_err(), "{wrong}");
        }
    }
}
