//! A data directory of version 0.1.0 under today's `serve`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use diogenes_e2e::{Client, Config, Folder, Model, Serve, eventually, mock_vllm};
use rusqlite::Connection;
use serde_json::{Value, json};

/// The port of the replica of `org/other`.
const PORT: u16 = 40091;

/// A folder with the data directory, as `serve` of 0.1.0 left it when it was killed, but for the
/// port of the replica of `org/other`.
fn data_of_0_1_0(port: u16) -> (Arc<Folder>, Value) {
    let folder = Arc::new(Folder::new());
    let data = folder.data_dir();
    std::fs::create_dir(&data).unwrap();
    let sql = include_str!("../../fixtures/0.1.0/state.sql")
        .replace(&format!("127.0.0.1:{PORT}"), &format!("127.0.0.1:{port}"));
    Connection::open(data.join("state.db")).unwrap().execute_batch(&sql).unwrap();
    let keys: Value = serde_json::from_str(include_str!("../../fixtures/0.1.0/keys.json")).unwrap();
    std::fs::write(data.join("admin.key"), keys["admin"].as_str().unwrap()).unwrap();
    (folder, keys)
}

#[tokio::test]
async fn keys_models_and_pins_of_0_1_0_work() {
    let (folder, keys) = data_of_0_1_0(PORT);
    let demo = Model::mock("demo", &["--tokens", "3"]).line(r#"aliases = ["small"]"#);
    let serve = Serve::start_in(folder, Config::with([demo])).await;
    let client = |key: &str| Client::new(serve.base_url(), keys[key].as_str().unwrap());
    let admin = client("admin");

    let cluster = admin.get("/api/v1/cluster").await.json();
    let models = cluster["data"].as_array().unwrap();
    let pinned: Vec<_> =
        models.iter().map(|model| (model["model"].as_str().unwrap(), &model["pinned"])).collect();
    assert_eq!(pinned, [("demo", &json!(false)), ("org/other", &json!(true))], "{cluster}");

    assert_eq!(client("plain").chat("small").await.status, 200);
    let limited = client("limited").chat("small").await;
    assert_eq!(limited.status, 200);
    assert_eq!(limited.header("x-ratelimit-limit-tokens"), Some("100000"));
    for (key, code) in [("revoked", "revoked_api_key"), ("expired", "expired_api_key")] {
        assert_eq!(client(key).chat("small").await.refusal(), (401, code.into()));
    }
    assert_eq!(client("ops").get("/api/v1/keys").await.json()["data"].as_array().unwrap().len(), 6);

    // The model of the API keeps its alias, and gives it up with its record.
    let mut other = json!({"command": ["mock-vllm", "--port", "{port}"], "aliases": ["large"]});
    let path = "/api/v1/models/org/other";
    assert_eq!(admin.put("/api/v1/models/new", &other).await.code(), "conflict");
    other["aliases"] = json!(["small"]);
    assert_eq!(admin.put(path, &other).await.code(), "conflict");
    assert_eq!(admin.delete(path).await.status, 200);
    other["aliases"] = json!(["large"]);
    assert_eq!(admin.put("/api/v1/models/new", &other).await.status, 201);
    eventually("the old model to be gone", async || {
        let listed = admin.get("/api/v1/models").await.json();
        let names: Vec<_> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["name"].as_str().unwrap().to_owned())
            .collect();
        if names == ["demo", "new"] { Ok(()) } else { Err(names) }
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_0_1_0_started_is_taken_over() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (folder, keys) = data_of_0_1_0(port);
    let mut record: Value =
        serde_json::from_str(include_str!("../../fixtures/0.1.0/run_record.json")).unwrap();
    let claim = record["claim"].as_str().unwrap().to_owned();
    let mut replica = replica(&record, port, &folder.data_dir());
    record["port"] = json!(port);
    record["process"] = identity(replica.id());
    let run = folder.data_dir().join("run");
    std::fs::create_dir(&run).unwrap();
    let text = serde_json::to_vec_pretty(&record).unwrap();
    std::fs::write(run.join(format!("{claim}.json")), text).unwrap();

    let serve = Serve::start_in(folder, Config::default()).await;
    let admin = Client::new(serve.base_url(), keys["admin"].as_str().unwrap());
    let answer = admin.chat("org/other").await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), serve.log());
    let target = format!("0/{}", &claim[..8]);
    assert_eq!(answer.header("x-diogenes-target"), Some(target.as_str()));
    assert_eq!(answer.header("x-diogenes-cold-start-ms"), None, "no other one was started");
    assert_eq!(replica.try_wait().unwrap(), None);

    assert_eq!(admin.delete("/api/v1/models/org/other").await.status, 200);
    eventually("the replica to be ended", async || {
        replica.try_wait().unwrap().map(drop).ok_or_else(|| serve.log())
    })
    .await;
}

/// The inference server of a run record, started as 0.1.0 did.
fn replica(record: &Value, port: u16, data_dir: &Path) -> Child {
    Command::new(mock_vllm())
        .args(["--port", &port.to_string(), "--model", "org/other"])
        .env("VLLM_API_KEY", record["upstream_key"].as_str().unwrap())
        .env("DIOGENES_DEPLOYMENT", data_dir.canonicalize().unwrap())
        .env("DIOGENES_CLAIM", record["claim"].as_str().unwrap())
        .env("DIOGENES_MODEL", "org/other")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// What tells a process from later ones with its number: when it started, and in which boot.
fn identity(pid: u32) -> Value {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let start_time: u64 = fields.split(' ').nth(19).unwrap().parse().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    json!({"pid": pid, "start_time": start_time, "boot_id": boot_id.trim()})
}
