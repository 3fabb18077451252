//! What a data directory tells about the server that runs with it.

use serde_json::Value;

use crate::fake::{Fake, Program};

const DOCUMENT: &str = r#"{"info": {"title": "Diogenes"}}"#;

fn runs_with(program: &Program, server: &Fake) {
    // This test stands for the server's process.
    let lock = format!("{}\n", std::process::id());
    std::fs::write(program.data_dir().join("lock"), lock).unwrap();
    std::fs::write(program.data_dir().join("url"), format!("{}\n", server.url)).unwrap();
}

#[test]
fn a_running_server_is_found_by_its_data_directory() {
    let server = Fake::answering(200, r#"{"data": []}"#);
    let program = Program::new(&["ps"]);
    runs_with(&program, &server);
    assert_eq!(program.run().code, 0);
    assert_eq!(server.asked(), ["GET /api/v1/cluster"]);
}

#[test]
fn doctor_does_not_call_a_port_free_that_the_running_server_does_not_use() {
    let answers = [
        ("/api/v1/openapi.json", DOCUMENT),
        ("/api/v1/cluster", r#"{"data": []}"#),
        ("/api/v1/models", r#"{"data": [], "next_cursor": null}"#),
    ];
    let server = Fake::with(answers, 404, "{}");
    let program = Program::new(&["doctor", "-o", "json"]);
    runs_with(&program, &server);
    let done = program.run();
    let report: Value = serde_json::from_str(&done.output).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let detail = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        (check["status"].as_str().unwrap(), check["detail"].as_str().unwrap())
    };
    assert_eq!(
        detail("port"),
        ("ok", &*format!("the running server listens at {}, not on 127.0.0.1:8080", server.url))
    );
    assert_eq!(detail("server"), ("ok", &*format!("answers at {}", server.url)));
}
