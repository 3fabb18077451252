//! Where a running server is found.

use diogenes_e2e::{Config, Model, Serve, diogenes};

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_the_server_of_a_data_directory() {
    let serve = Serve::start(Config::with([Model::mock("demo", &[])])).await;
    let output = std::process::Command::new(diogenes())
        .args(["ps", "-o", "json"])
        .env("DIOGENES_DATA_DIR", serve.data_dir())
        .env_remove("DIOGENES_URL")
        .env_remove("DIOGENES_API_KEY")
        .output()
        .unwrap();
    let fleet: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(fleet["data"][0]["model"], "demo");
}
