//! Processes whose records are lost.

use diogenes_e2e::{Config, Folder, Model, Serve, eventually};

fn config() -> Config {
    Config::with([Model::mock("demo", &["--tokens", "3"])])
}

fn remove(folder: &Folder, names: &[&str]) {
    for name in names {
        let path = folder.data_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
        assert!(!path.exists());
    }
}

const DATABASE: [&str; 4] = ["state.db", "state.db-wal", "state.db-shm", "admin.key"];

#[tokio::test]
async fn a_process_that_no_record_knows_is_ended() {
    let mut serve = Serve::start(config()).await;
    serve.client().chat("demo").await;
    serve.kill();
    let folder = serve.folder();
    assert_eq!(folder.processes().len(), 1);
    remove(&folder, &DATABASE);
    remove(&folder, &["run"]);
    let serve = Serve::start_in(folder.clone(), config()).await;
    eventually("no process", async || match folder.processes() {
        left if left.is_empty() => Ok(()),
        left => Err((left, serve.log())),
    })
    .await;
    assert!(serve.log().contains("no record owns it"), "{}", serve.log());
    assert_eq!(serve.client().chat("demo").await.status, 200);
}

#[tokio::test]
async fn a_process_that_only_the_backend_knows_is_ended() {
    let mut serve = Serve::start(config()).await;
    serve.client().chat("demo").await;
    serve.kill();
    let folder = serve.folder();
    remove(&folder, &DATABASE);
    let serve = Serve::start_in(folder.clone(), config()).await;
    eventually("no process", async || match folder.processes() {
        left if left.is_empty() => Ok(()),
        left => Err((left, serve.log())),
    })
    .await;
}

#[tokio::test]
async fn a_process_whose_run_record_is_lost_serves_on_or_is_replaced_but_never_doubled() {
    let mut serve = Serve::start(config()).await;
    serve.client().chat("demo").await;
    serve.kill();
    let folder = serve.folder();
    remove(&folder, &["run"]);
    let serve = Serve::start_in(folder.clone(), config()).await;
    for _ in 0..3 {
        let answer = serve.client().chat("demo").await;
        assert_eq!(answer.status, 200, "{} {}", answer.text(), serve.log());
    }
    eventually("one process", async || match folder.processes() {
        processes if processes.len() == 1 => Ok(()),
        processes => Err(processes),
    })
    .await;
}
