//! How an inference server comes to listen where it is expected.

use super::{ModelSpec, SpecError};
use crate::name::ModelName;

/// How a command or a variable is told the port: by us, or by a shell that expands it.
const MARKS: [&str; 3] = ["{port}", "$PORT", "${PORT"];

impl ModelSpec {
    /// Refuses a command that is not told its port: it would listen elsewhere, and be waited for
    /// until its `boot_timeout`. It is for the rules of backends, which models of earlier versions
    /// need not pass.
    pub fn validate_port(&self) -> Result<(), SpecError> {
        let is_told = |text: &str| MARKS.iter().any(|mark| text.contains(mark));
        let by_command = self.command.iter().any(|text| is_told(text));
        // A hidden value stands for one that was accepted.
        let by_env =
            self.env.values().any(|value| value.is_masked() || value.plain().is_some_and(is_told));
        if self.port.is_some() || by_command || by_env {
            return Ok(());
        }
        let problem = "has no `{port}`, so the server would not listen where it is expected; pass \
                       it on, as in `--port {port}`, set `port` if the program has a fixed one, \
                       or, if it reads the variable PORT, set `env = { PORT = \"{port}\" }`";
        Err(SpecError { field: "command", problem: problem.into() })
    }

    /// Refuses a fixed port that one of `others` has too: on one machine only the first of them
    /// could listen on it.
    pub fn validate_own_port<'a>(
        &self,
        others: impl IntoIterator<Item = (&'a ModelName, &'a Self)>,
    ) -> Result<(), SpecError> {
        let Some(port) = self.port else { return Ok(()) };
        let same = others.into_iter().find(|(_, other)| other.port == Some(port));
        same.map_or(Ok(()), |(other, _)| {
            let problem = format!(
                "is {port}, which model `{other}` uses too; give each model a port of its own, or \
                 pass `{{port}}` to the command"
            );
            Err(SpecError { field: "port", problem })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::EnvValue;
    use super::*;

    #[test]
    fn a_command_is_told_its_port_or_has_a_fixed_one() {
        for command in [
            &["vllm", "serve", "x", "--port", "{port}"][..],
            &["sh", "-c", "exec llama-server --port $PORT"],
            &["sh", "-c", "exec llama-server --port ${PORT:-1}"],
        ] {
            let spec = ModelSpec::new(command.iter().copied());
            assert_eq!(spec.validate_port(), Ok(()), "{command:?}");
        }
        let mut spec = ModelSpec::new(["tgi"]);
        assert_eq!(spec.validate_port().unwrap_err().field, "command");
        for value in ["{port}", EnvValue::MASK] {
            spec.env.insert("PORT".into(), value.into());
            assert_eq!(spec.validate_port(), Ok(()));
        }
        spec.env.clear();
        spec.port = Some(8000);
        assert_eq!(spec.validate_port(), Ok(()));
    }
}
