use diogenes_e2e::{Config, Model, RawConnection, Serve, eventually};

#[tokio::test]
async fn a_client_that_speaks_tls_is_told_to_use_http() {
    let serve = Serve::start(Config::default()).await;
    let mut connection = RawConnection::open(serve.base_url()).await;
    // The head of a ClientHello.
    connection.write([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]).await;
    let answer = connection.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
    assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    assert!(body.contains("use an http:// URL"), "{answer}");
    eventually("a hint in the log", async || match serve.log() {
        log if log.contains("speaks TLS to this port") => Ok(()),
        log => Err(log),
    })
    .await;
    assert_eq!(serve.client().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_file_and_its_models_are_logged() {
    let models = ["a", "org/b"].map(|name| Model::mock(name, &[]));
    let serve = Serve::start(Config::with(models)).await;
    let file = serve.folder().path().join("diogenes.toml");
    let line = format!("the configuration is {}; its models: a, org/b", file.display());
    eventually("the line", async || match serve.log() {
        log if log.contains(&line) => Ok(()),
        log => Err(log),
    })
    .await;
}
