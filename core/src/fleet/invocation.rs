use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::fleet::{Engine, EnvValue};
use crate::secret::{Secret, SecretRef};

/// What to execute for an [`Engine`]: its texts with `{port}`, `{host}` and `{key}` filled in.
/// It holds the key in clear text, so that it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program, to be found on the path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables added to its environment: the engine's own, and `HOST`, `PORT`,
    /// `VLLM_API_KEY` and `LLAMA_API_KEY`, which win over the engine's.
    pub env: BTreeMap<String, String>,
}

/// The secrets that an engine refers to, resolved.
pub type Secrets = BTreeMap<SecretRef, Secret>;

/// Why an engine cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uninvocable {
    /// The command is empty.
    #[error("its `command` is empty")]
    NoCommand,
    /// A secret was not resolved.
    #[error("its variable `{variable}` comes from {reference}, which was not read")]
    Unresolved {
        variable: String,
        /// Where its value is kept.
        reference: SecretRef,
    },
}

impl Engine {
    /// The variables whose values are kept elsewhere, and where.
    pub fn references(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        self.env.iter().filter_map(|(name, value)| Some((name.as_str(), value.reference()?)))
    }

    /// How to start it so that it listens on `address` and asks `key` of its callers. `secrets`
    /// has the values of its [`references`](Self::references); they are taken as they are.
    pub fn invocation(
        &self,
        address: SocketAddr,
        key: &Secret,
        secrets: &Secrets,
    ) -> Result<Invocation, Uninvocable> {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let fill = |text: &str| {
            text.replace("{port}", &port).replace("{host}", &host).replace("{key}", key.expose())
        };
        let (program, arguments) = self.command.split_first().ok_or(Uninvocable::NoCommand)?;
        let mut env = BTreeMap::new();
        for (name, value) in &self.env {
            let text = match value {
                EnvValue::Plain(text) => fill(text.expose()),
                EnvValue::Reference(reference) => secrets
                    .get(reference)
                    .map(|secret| secret.expose().to_owned())
                    .ok_or_else(|| Uninvocable::Unresolved {
                        variable: name.clone(),
                        reference: reference.clone(),
                    })?,
            };
            env.insert(name.clone(), text);
        }
        for (name, value) in [
            ("HOST", host.as_str()),
            ("PORT", port.as_str()),
            ("VLLM_API_KEY", key.expose()),
            ("LLAMA_API_KEY", key.expose()),
        ] {
            env.insert(name.into(), value.into());
        }
        Ok(Invocation {
            program: fill(program),
            arguments: arguments.iter().map(|text| fill(text)).collect(),
            env,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(command: &[&str]) -> Engine {
        Engine {
            command: command.iter().map(|text| (*text).to_owned()).collect(),
            env: BTreeMap::from([
                ("PORT".to_owned(), "1".into()),
                ("URL".to_owned(), "http://{host}:{port}".into()),
            ]),
            working_dir: None,
            health_path: "/health".into(),
            port: None,
        }
    }

    #[test]
    fn host_port_and_key_are_filled_in_everywhere() {
        let engine = engine(&["/opt/{port}/vllm", "--port={port}", "{host}", "{key}"]);
        let address = "127.0.0.1:8000".parse().unwrap();
        let filled = engine.invocation(address, &Secret::new("k"), &Secrets::new()).unwrap();
        assert_eq!(filled.program, "/opt/8000/vllm");
        assert_eq!(filled.arguments, ["--port=8000", "127.0.0.1", "k"]);
        let env: Vec<_> = filled.env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            env,
            [
                ("HOST", "127.0.0.1"),
                ("LLAMA_API_KEY", "k"),
                ("PORT", "8000"),
                ("URL", "http://127.0.0.1:8000"),
                ("VLLM_API_KEY", "k"),
            ]
        );
    }

    #[test]
    fn an_empty_command_has_no_invocation() {
        let address = "127.0.0.1:8000".parse().unwrap();
        let invocation = engine(&[]).invocation(address, &Secret::new("k"), &Secrets::new());
        assert_eq!(invocation.err(), Some(Uninvocable::NoCommand));
    }

    #[test]
    fn a_secret_is_passed_on_as_it_is_and_never_left_out() {
        let reference = SecretRef::File("/run/token".into());
        let mut engine = engine(&["vllm"]);
        engine.env.insert("HF_TOKEN".into(), reference.clone().into());
        let address = "127.0.0.1:8000".parse().unwrap();
        let invoke = |secrets| engine.invocation(address, &Secret::new("k"), &secrets);

        let read = Secrets::from([(reference.clone(), Secret::new("{key}"))]);
        assert_eq!(invoke(read).unwrap().env["HF_TOKEN"], "{key}");
        let variable = "HF_TOKEN".to_owned();
        let missing = Uninvocable::Unresolved { variable, reference };
        assert_eq!(invoke(Secrets::new()).err(), Some(missing));
    }
}
