//! The listening socket is passed by a service manager, which holds it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diogenes_e2e::{Client, Config, Folder, Model, Serve};

fn config() -> Config {
    // The replica outlives a restart, so that only the server is away.
    Config::with([Model::mock("demo", &["--tokens", "3"])]).line("on_shutdown = \"leave\"")
}

/// Asks over and over, on a new connection each time and without a retry; tells how often.
async fn ask(base_url: String, key: String, over: Arc<AtomicBool>) -> u32 {
    let mut asked = 0;
    while !over.load(Ordering::Relaxed) {
        let answer = Client::new(&base_url, &key).chat("demo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_refuses_nobody() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Arc::new(Folder::new());
    let mut serve = Serve::start_on(&socket, folder.clone(), config()).await;
    let address = socket.local_addr().unwrap();
    assert_eq!(serve.base_url(), format!("http://{address}"), "whatever --listen says");
    serve.client().chat("demo").await;
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(ask(serve.base_url().into(), serve.admin_key(), over.clone())))
        .collect();
    for _ in 0..3 {
        assert!(serve.terminate().await.success(), "{}", serve.log());
        drop(serve);
        serve = Serve::start_on(&socket, folder.clone(), config()).await;
        assert_eq!(serve.client().chat("demo").await.status, 200);
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.expect("nobody was refused") > 3);
    }
    assert_eq!(folder.processes().len(), 1, "no replica holds the socket");
    serve.client().scale("demo", "down").await;
    serve.client().until("demo", "asleep").await;
}
