//! `on_shutdown = "leave"`.

use diogenes_e2e::{Config, Model, Serve};

fn config(flags: &[&str]) -> Config {
    Config::with([Model::mock("demo", flags)]).line("on_shutdown = \"leave\"")
}

#[tokio::test]
async fn replicas_that_are_left_serve_the_next_one() {
    let mut serve = Serve::start(config(&["--tokens", "3"])).await;
    serve.client().chat("demo").await;
    let slots = serve.client().state("demo").await["slots"].clone();
    let processes = serve.folder().processes();
    assert_eq!(processes.len(), 1);
    assert!(serve.terminate().await.success());
    let folder = serve.folder();
    assert_eq!(folder.processes(), processes, "it runs on");
    drop(serve);
    assert_eq!(folder.processes(), processes);
    let serve = Serve::start_in(folder.clone(), config(&["--tokens", "3"])).await;
    let answer = serve.client().chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-diogenes-cold-start-ms")), (200, None));
    assert_eq!(serve.client().state("demo").await["slots"], slots);
    assert_eq!((folder.processes(), serve.log().matches("launched ").count()), (processes, 0));
}

#[tokio::test]
async fn a_replica_that_was_left_by_another_configuration_is_replaced() {
    let serve = Serve::start(config(&["--tokens", "3"])).await;
    serve.client().chat("demo").await;
    let before = serve.folder().processes();
    let serve = serve.restart_with(config(&["--tokens", "4"])).await;
    let answer = serve.client().chat("demo").await.json();
    assert_eq!(answer["usage"]["completion_tokens"], 4);
    let after = serve.folder().processes();
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_replica_of_a_model_that_is_gone_is_ended() {
    let serve = Serve::start(config(&["--tokens", "3"])).await;
    serve.client().chat("demo").await;
    let serve = serve.restart_with(Config::default()).await;
    diogenes_e2e::eventually("no process", async || match serve.folder().processes() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    assert_eq!(serve.client().chat("demo").await.code(), "model_not_found");
}
