use serde_json::json;

use super::{World, told};

#[tokio::test]
async fn what_cannot_be_is_told_with_what_to_do() {
    let world = World::with_golden().await;
    for (arguments, code, part) in [
        (vec!["dataset", "create", "a/b"], 2, "without slashes and colons"),
        (vec!["dataset", "create", "a:b"], 2, "without slashes and colons"),
        (vec!["dataset", "create", "golden"], 1, "a dataset `golden` exists"),
        (vec!["dataset", "show", "nobody"], 6, "diogenes dataset list"),
        (vec!["dataset", "show", "golden@v9"], 6, "diogenes dataset snapshots golden"),
        (vec!["dataset", "examples", "golden@xyz"], 2, "is not a snapshot"),
        (vec!["dataset", "remove", "golden", "ex_9"], 6, "diogenes dataset examples golden"),
        (vec!["dataset", "remove", "golden", "nine"], 2, "ids look like `ex_0000000042`"),
        (vec!["dataset", "import", "golden", "/nowhere.csv"], 2, "cannot read /nowhere.csv"),
        (vec!["dataset", "import", "golden", "s3://bucket/x.csv"], 2, "download it first"),
        (vec!["dataset", "import", "golden", "/etc/hostname"], 2, "use --format"),
        (vec!["dataset", "export", "golden", "/tmp/x.xlsx"], 2, "use --format"),
    ] {
        let done = world.run(&arguments);
        assert!(told(&done).contains(part), "{arguments:?}: {}", told(&done));
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {}", told(&done));
    }
    let none = world.import("none.csv", "question\nx\n", &[]);
    assert!(
        told(&none).contains("--map input=COLUMN`; the columns are `question`"),
        "{}",
        told(&none)
    );
    let empty = world.import("empty.csv", "", &[]);
    assert!(told(&empty).contains("empty.csv: the file is empty"), "{}", told(&empty));
    let header = world.import("header.csv", "input\n", &[]);
    assert!(told(&header).contains("imported 0 of 0 rows"), "{}", told(&header));
}

#[tokio::test]
async fn a_caller_reaches_no_file_of_the_server_and_no_file_that_is_not_for_datasets() {
    let world = World::with_golden().await;
    let import = async |file: &str| {
        let body = json!({"file": file, "format": "csv"});
        world.client.post("/api/v1/datasets/golden/import", &body).await.refusal()
    };
    for file in ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "file-1"] {
        assert_eq!(import(file).await, (404, "file_not_found".into()), "{file}");
    }
    let key = json!({"email": "ada@example.com", "scopes": ["inference"]});
    let made = world.client.post("/api/v1/keys", &key).await.json();
    let caller = world.serve.client_with(made["key"].as_str().unwrap());
    let form = caller.form("/v1/files", &[("purpose", "user_data")], ("file", b"input\nx\n"));
    let file = caller.send(form).await.json();
    let id = file["id"].as_str().unwrap();
    assert_eq!(import(id).await, (404, "file_not_found".into()));
    let content = world.client.get(&format!("/api/v1/datasets/golden/files/{id}")).await;
    assert_eq!(content.refusal(), (404, "file_not_found".into()));
    let remote = json!({"name": "remote", "schema": {"input": {"$ref": "http://127.0.0.1:1/s"}}});
    let answer = world.client.post("/api/v1/datasets", &remote).await;
    assert_eq!(answer.refusal(), (400, "invalid_request".into()));
    assert!(answer.text().contains("not fetched"), "{}", answer.text());
}
