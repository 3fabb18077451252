use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::fleet::Engine;
use crate::secret::Secret;

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

impl Engine {
    /// How to start it so that it listens on `address` and asks `key` of its callers; none when
    /// its command is empty.
    pub fn invocation(&self, address: SocketAddr, key: &Secret) -> Option<Invocation> {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let fill = |text: &String| {
            text.replace("{port}", &port).replace("{host}", &host).replace("{key}", key.expose())
        };
        let (program, arguments) = self.command.split_first()?;
        let mut env: BTreeMap<_, _> =
            self.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        for (name, value) in [
            ("HOST", host.as_str()),
            ("PORT", port.as_str()),
            ("VLLM_API_KEY", key.expose()),
            ("LLAMA_API_KEY", key.expose()),
        ] {
            env.insert(name.into(), value.into());
        }
        Some(Invocation {
            program: fill(program),
            arguments: arguments.iter().map(fill).collect(),
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
                ("PORT".to_owned(), "1".to_owned()),
                ("URL".to_owned(), "http://{host}:{port}".to_owned()),
            ]),
            working_dir: None,
            health_path: "/health".into(),
        }
    }

    #[test]
    fn host_port_and_key_are_filled_in_everywhere() {
        let engine = engine(&["/opt/{port}/vllm", "--port={port}", "{host}", "{key}"]);
        let address = "127.0.0.1:8000".parse().unwrap();
        let filled = engine.invocation(address, &Secret::new("k")).unwrap();
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
        assert!(engine(&[]).invocation(address, &Secret::new("k")).is_none());
    }
}
