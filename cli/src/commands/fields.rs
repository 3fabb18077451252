//! The fields of a spec, from a file and from flags, until they are whole.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use diogenes_core::name::nearest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::exit::{Failure, Kind};
use crate::wording::plain;

/// Fields of a spec; some may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

/// Where the base of a spec comes from, for messages.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(String),
    Server,
    Flags,
}

impl Fields {
    /// Sets a field, if it has a value.
    pub(super) fn set(&mut self, name: &str, value: Option<impl Serialize>) {
        // Numbers, texts and lists of them always serialize.
        if let Some(value) = value.and_then(|value| serde_json::to_value(value).ok()) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Sets variables of the environment, if there are any.
    pub(super) fn set_env(&mut self, variables: &[(String, String)]) {
        if variables.is_empty() {
            return;
        }
        let env: Map<String, Value> =
            variables.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        self.0.insert("env".into(), env.into());
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Whether there is a field of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Reads a file, or standard input for `-`.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        let done = if file == Path::new("-") {
            std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
        } else {
            std::fs::read_to_string(file).map(|read| text = read)
        };
        done.map_err(|error| Failure {
            kind: Kind::Config,
            error: anyhow::Error::new(error)
                .context(format!("the spec `{}` cannot be read; check the path", file.display())),
        })?;
        Self::parse(&text, file)
    }

    /// Parses a file. Its name tells the format; else it is found out.
    fn parse(text: &str, file: &Path) -> Result<Self, Failure> {
        let broken = |format: &str, error: &dyn Display| {
            Kind::Config.because(format!("`{}` is not valid {format}: {error}", file.display()))
        };
        let json = |text| serde_json::from_str(text).map_err(|error| broken("JSON", &error));
        let toml = |text| toml::from_str(text).map_err(|error| broken("TOML", &error));
        let yaml = |text| serde_saphyr::from_str(text).map_err(|error| broken("YAML", &error));
        let extension = file.extension().and_then(|extension| extension.to_str());
        let value = match extension.map(str::to_lowercase).as_deref() {
            Some("json") => json(text)?,
            Some("toml") => toml(text)?,
            Some("yaml" | "yml") => yaml(text)?,
            // Every JSON object begins so, no TOML does, and YAML is what is left.
            _ if text.trim_start().starts_with('{') => json(text)?,
            _ => match toml(text) {
                Ok(value) => value,
                Err(_) => yaml(text)?,
            },
        };
        Self::of_value(value)
    }

    /// The fields of a spec, or of what `show -o json` prints.
    pub(super) fn of_value(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Object(mut fields) => match fields.remove("spec") {
                Some(Value::Object(spec)) => Ok(Self(spec)),
                Some(_) | None => Ok(Self(fields)),
            },
            _ => Err(Kind::Config.because("a spec is an object with fields")),
        }
    }

    /// Lays `flags` over these; variables of the environment one by one.
    pub(super) fn overruled_by(mut self, flags: Self) -> Self {
        for (name, value) in flags.0 {
            match (self.0.get_mut(&name), value) {
                (Some(Value::Object(standing)), Value::Object(value)) if name == "env" => {
                    standing.extend(value);
                }
                (_, value) => {
                    self.0.insert(name, value);
                }
            }
        }
        self
    }

    /// The whole spec, which `validate` checks as the server will.
    pub(super) fn into_spec<T: DeserializeOwned, E: Display>(
        self,
        origin: &Origin,
        validate: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, Failure> {
        let at = match origin {
            Origin::File(file) => format!("{file}: "),
            Origin::Server | Origin::Flags => String::new(),
        };
        let spec: T = serde_path_to_error::deserialize(Value::Object(self.0)).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { String::new() } else { format!("`{path}`: ") };
            let text = error.inner().to_string();
            Kind::Config.because(format!("{at}{field}{}{}", plain(&text), hint(&text)))
        })?;
        validate(&spec).map_err(|error| Kind::Config.because(format!("{at}{error}")))?;
        Ok(spec)
    }
}

/// "did you mean", from serde's "unknown field `x`, expected one of `a`, `b`".
fn hint(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let wrong = names.next().filter(|_| message.starts_with("unknown field"));
    wrong
        .and_then(|wrong| nearest(wrong, names))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diogenes_core::fleet::ModelSpec;

    use super::*;

    fn parse(text: &str, file: &str) -> Fields {
        Fields::parse(text, Path::new(file)).expect(text)
    }

    #[test]
    fn a_spec_reads_the_same_in_every_format() {
        let json =
            r#"{"command": ["x", "--port", "{port}"], "idle_timeout": "5m", "env": {"A": "1"}}"#;
        let toml =
            "command = [\"x\", \"--port\", \"{port}\"]\nidle_timeout = \"5m\"\n[env]\nA = \"1\"\n";
        let yaml = "command: [x, --port, \"{port}\"]\nidle_timeout: 5m\nenv:\n  A: \"1\"\n";
        let expected = parse(json, "a.json");
        for (text, file) in [
            (json, "-"),
            (toml, "a.toml"),
            (toml, "-"),
            (yaml, "a.yml"),
            (yaml, "a.YAML"),
            (yaml, "-"),
        ] {
            assert_eq!(parse(text, file), expected, "{file}");
        }
        let shown = r#"{"name": "demo", "source": "api", "spec": {"command": ["x"]}}"#;
        assert_eq!(parse(shown, "-"), parse(r#"{"command": ["x"]}"#, "-"));
    }

    #[test]
    fn a_broken_file_is_named_with_its_format() {
        for (text, file) in
            [("{", "a.json"), ("a =", "a.toml"), ("a: [", "a.yaml"), ("[1]", "a.json")]
        {
            let failure = Fields::parse(text, Path::new(file)).expect_err(text);
            assert_eq!(failure.kind, Kind::Config);
        }
    }

    #[test]
    fn flags_win_over_the_file_and_variables_are_laid_over_it() {
        let file = parse(
            r#"{"command": ["x"], "min_replicas": 1, "max_replicas": 3, "env": {"A": "1", "B": "2"}}"#,
            "-",
        );
        let mut flags = Fields::default();
        flags.set("min_replicas", Some(2));
        flags.set("max_replicas", None::<u32>);
        flags.set("idle_timeout", Some("30s"));
        flags.set_env(&[("B".into(), "3".into()), ("C".into(), String::new())]);
        let spec = file
            .overruled_by(flags)
            .into_spec(&Origin::Flags, ModelSpec::validate)
            .expect("a spec");
        assert_eq!((spec.min_replicas, spec.max_replicas), (2, 3));
        assert_eq!(spec.idle_timeout, Duration::from_secs(30));
        let env: Vec<_> = spec.env.iter().map(|(k, v)| (k.as_str(), v.plain())).collect();
        assert_eq!(env, [("A", Some("1")), ("B", Some("3")), ("C", Some(""))]);
    }

    #[test]
    fn what_is_wrong_with_a_spec_is_said_with_its_field() {
        for (text, part) in [
            (r#"{"min_replicas": 1}"#, "missing field `command`"),
            (r#"{"command": ["x"], "idel_timeout": "5m"}"#, "did you mean `idle_timeout`?"),
            (r#"{"command": ["x"], "idle_timeout": "soon"}"#, "`idle_timeout`: "),
            (
                r#"{"command": ["x"], "port": 99999}"#,
                "`port`: invalid value: integer `99999`, expected a port",
            ),
            (r#"{"command": []}"#, "`command` is empty"),
            (r#"{"command": ["x"], "min_replicas": 2}"#, "must not exceed"),
        ] {
            let origin = Origin::File("a.json".into());
            let failure = parse(text, "-").into_spec(&origin, ModelSpec::validate).expect_err(text);
            let message = failure.error.to_string();
            assert!(message.starts_with("a.json: ") && message.contains(part), "{message}");
        }
    }
}
