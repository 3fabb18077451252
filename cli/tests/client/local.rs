//! What a data directory tells about the server that runs with it.

use std::path::Path;

use serde_json::Value;

use crate::fake::{Fake, Program};

const DOCUMENT: &str = r#"{"info": {"title": "Diogenes"}}"#;

fn runs_with(program: &Program, server: &Fake) {
    leave(&program.data_dir(), server);
}

fn leave(data_dir: &Path, server: &Fake) {
    // This test stands for the server's process.
    let lock = format!("{}\n", std::process::id());
    std::fs::write(data_dir.join("lock"), lock).unwrap();
    std::fs::write(data_dir.join("url"), format!("{}\n", server.url)).unwrap();
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
fn a_running_server_is_found_by_the_configuration_that_it_runs_with() {
    let [first, second] = [(); 2].map(|()| Fake::answering(200, r#"{"data": []}"#));
    let program = || {
        let program = Program::new(&["ps"]);
        for (name, server) in [("first", &first), ("second", &second)] {
            let data_dir = program.home().join(name);
            std::fs::create_dir(&data_dir).unwrap();
            leave(&data_dir, server);
            let file = program.home().join(format!("{name}.toml"));
            // What is wrong with the rest of the file is for `serve` to tell.
            std::fs::write(file, format!("data_dir = {name:?}\nlisen = 1\n")).unwrap();
        }
        std::fs::rename(program.home().join("first.toml"), program.home().join("diogenes.toml"))
            .unwrap();
        program
    };
    let asks = |program: Program, server: &Fake| {
        let done = program.run();
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(server.asked().len(), 1);
        server.forget();
    };
    asks(program(), &first);
    asks(program().with(&["--config", "second.toml"]), &second);
    asks(program().env("DIOGENES_CONFIG", "second.toml"), &second);
    asks(program().env("DIOGENES_DATA_DIR", "second"), &second);
    asks(program().env("DIOGENES_DATA_DIR", "first").with(&["--data-dir", "second"]), &second);
    asks(program().with(&["--url", &second.url]), &second);
    let done = program().env("DIOGENES_CONFIG", "absent.toml").run();
    assert!(done.code == 2 && done.error.contains("`absent.toml` cannot be read"), "{done:?}");
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
    let lock = std::fs::File::open(program.data_dir().join("lock")).unwrap();
    lock.lock().unwrap();
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
