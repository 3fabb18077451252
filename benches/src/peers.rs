use anyhow::Context;

use crate::peer::{Address, Peer, Way};
use crate::request::Dialect;

const CHAT: Way = Way {
    name: "",
    dialect: Dialect::Chat,
    path: "/v1/chat/completions",
    model: "bench",
    headers: &[("authorization", "Bearer sk-bench")],
};

const MESSAGES: Way = Way {
    name: "messages",
    dialect: Dialect::Messages,
    path: "/v1/messages",
    headers: &[
        ("authorization", "Bearer sk-bench"),
        ("x-api-key", "sk-bench"),
        ("anthropic-version", "2023-06-01"),
    ],
    ..CHAT
};

/// What all are compared with. It comes from Debian.
pub(crate) const NGINX: Peer = Peer {
    name: "nginx",
    program: "nginx",
    arguments: &["-p", "{folder}", "-c", "{folder}/nginx.conf"],
    environment: &[],
    files: &[("nginx.conf", include_str!("../peers/nginx.conf"))],
    address: Address::Given,
    ways: &[CHAT],
};

/// The gateways that `scripts/bench_peers.sh` installs, each with as little to do as it can have:
/// one upstream, no database, no log of requests.
pub(crate) const PEERS: [Peer; 5] = [
    Peer {
        name: "vllm-router",
        program: "{installed}/bin/vllm-router",
        arguments: &[
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--prometheus-port",
            "{other_port}",
            "--worker-urls",
            "http://{upstream}",
            "--policy",
            "round_robin",
            "--log-level",
            "error",
        ],
        environment: &[],
        files: &[],
        address: Address::Given,
        ways: &[CHAT],
    },
    Peer {
        name: "switchyard",
        program: "{installed}/bin/switchyard-server",
        arguments: &["--config", "{folder}/routes.toml", "--host", "127.0.0.1", "--port", "{port}"],
        environment: &[("RUST_LOG", "error")],
        files: &[("routes.toml", include_str!("../peers/switchyard.toml"))],
        address: Address::Given,
        ways: &[CHAT, MESSAGES],
    },
    Peer {
        name: "tensorzero",
        program: "{installed}/bin/python",
        arguments: &["{folder}/serve.py", "{folder}/tensorzero.toml"],
        environment: &[("RUST_LOG", "error")],
        files: &[
            ("serve.py", include_str!("../peers/tensorzero.py")),
            ("tensorzero.toml", include_str!("../peers/tensorzero.toml")),
        ],
        address: Address::Printed,
        ways: &[Way {
            path: "/openai/v1/chat/completions",
            model: "tensorzero::model_name::bench",
            ..CHAT
        }],
    },
    Peer {
        name: "portkey",
        program: "node",
        arguments: &[
            "--require",
            "{folder}/loopback.cjs",
            "{installed}/node_modules/@portkey-ai/gateway/build/start-server.js",
            "--headless",
            "--port={port}",
        ],
        environment: &[("NODE_ENV", "production")],
        files: &[("loopback.cjs", include_str!("../peers/loopback.cjs"))],
        address: Address::Given,
        ways: &[Way {
            headers: &[
                ("authorization", "Bearer sk-bench"),
                ("x-portkey-provider", "openai"),
                ("x-portkey-custom-host", "http://{upstream}/v1"),
            ],
            ..CHAT
        }],
    },
    Peer {
        name: "litellm",
        program: "{installed}/bin/litellm",
        arguments: &[
            "--config",
            "{folder}/litellm.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--telemetry",
            "False",
        ],
        // Prices from its package, not from GitHub.
        environment: &[("LITELLM_LOCAL_MODEL_COST_MAP", "True"), ("LITELLM_LOG", "ERROR")],
        files: &[("litellm.yaml", include_str!("../peers/litellm.yaml"))],
        address: Address::Given,
        ways: &[CHAT, MESSAGES],
    },
];

/// The peers of these names, or all.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Peer>> {
    if names.is_empty() {
        return Ok(PEERS.iter().collect());
    }
    let find = |name: &String| {
        PEERS.iter().find(|peer| peer.name == name).with_context(|| {
            let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
            format!("`{name}` is not a peer; use {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}
