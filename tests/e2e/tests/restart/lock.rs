//! One `serve` per data directory.

use diogenes_e2e::{Config, Model, Serve, refused_to_start};

#[tokio::test]
async fn a_second_one_on_the_same_data_is_refused_and_names_the_first() {
    let (serve, client) = Serve::ready(Model::mock("demo", &["--tokens", "3"])).await;
    let data_dir = serve.data_dir().display().to_string();
    let (code, said) = refused_to_start(&["--listen", "127.0.0.1:0", "--data-dir", &data_dir]);
    assert_eq!(code, Some(3), "{said}");
    let pid = serve.pid().as_raw_nonzero().to_string();
    assert!(said.contains(&data_dir) && said.contains(&format!("process {pid}")), "{said}");
    assert_eq!(client.chat("demo").await.status, 200, "the first one goes on");
}

#[tokio::test]
async fn two_on_different_data_leave_each_other_alone() {
    let (one, first) = Serve::ready(Model::mock("demo", &["--tokens", "3"])).await;
    let two = Serve::start(Config::with([Model::mock("demo", &["--tokens", "4"])])).await;
    two.client().chat("demo").await;
    let two = two.crash_and_restart().await;
    assert_eq!(two.client().chat("demo").await.status, 200);
    assert_eq!(first.chat("demo").await.header("x-diogenes-cold-start-ms"), None);
    assert_eq!((one.folder().processes().len(), two.folder().processes().len()), (1, 1));
    assert_eq!(two.client_with(&one.admin_key()).chat("demo").await.code(), "invalid_api_key");
}
