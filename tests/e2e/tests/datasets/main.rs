//! Datasets of `serve`, by the program and over the API.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

mod crashes;
mod files;
mod refused;

use std::path::PathBuf;
use std::process::Output;

use diogenes_e2e::{Client, Config, Serve};
use serde_json::{Value, json};

struct World {
    serve: Serve,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let serve = Serve::start(Config::with([])).await;
        let client = serve.client();
        Self { serve, client }
    }

    /// With an empty dataset `golden`.
    async fn with_golden() -> Self {
        let world = Self::new().await;
        let created = world.run(&["dataset", "create", "golden"]);
        assert!(created.status.success(), "{}", told(&created));
        world
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.serve.cli(arguments)
    }

    /// Writes a file, and returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let file: PathBuf = self.serve.data_dir().join(name);
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Imports a file into `golden`.
    fn import(&self, name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> Output {
        let file = self.file(name, content);
        self.run(&[&["dataset", "import", "golden", &file], more].concat())
    }

    /// The examples of a snapshot of `golden`.
    fn examples(&self, reference: &str) -> Vec<Value> {
        let shown = self.run(&["dataset", "examples", reference, "--limit", "10000", "-o", "json"]);
        assert!(shown.status.success(), "{}", told(&shown));
        let list: Value = serde_json::from_slice(&shown.stdout).unwrap();
        list["data"].as_array().unwrap().clone()
    }

    fn inputs(&self, reference: &str) -> Vec<Value> {
        self.examples(reference).iter().map(|example| example["input"].clone()).collect()
    }

    async fn count(&self) -> u64 {
        self.client.get("/api/v1/datasets/golden").await.json()["examples"].as_u64().unwrap()
    }
}

/// So many examples in lines of JSON; their inputs are `what` and a number.
fn lines(count: u64, what: &str) -> String {
    let lines: Vec<_> = (0..count).map(|n| format!("{{\"input\": \"{what} {n}\"}}\n")).collect();
    lines.concat()
}

fn told(done: &Output) -> String {
    String::from_utf8([&done.stdout[..], &done.stderr[..]].concat()).unwrap()
}

#[tokio::test]
async fn what_the_help_shows_works() {
    let world = World::new().await;
    let schema =
        json!({"input": {"type": "object", "required": ["q"]}, "expected": {"type": "string"}});
    let schema = world.file("golden.schema.json", schema.to_string());
    let created =
        world.run(&["dataset", "create", "golden", "--schema", &schema, "--tag", "nightly"]);
    assert!(told(&created).contains("golden"), "{}", told(&created));
    let csv = "question,answer,topic\nWhat is the capital of France?,Paris,geography\n\"6, 7?\",\"42\nor so\",maths\n";
    let imported = world.import(
        "examples.csv",
        csv,
        &["--map", "input.q=question", "--map", "expected=answer"],
    );
    let text = told(&imported);
    assert!(imported.status.success(), "{text}");
    assert!(text.contains("imported 2 of 2 rows into `golden`; it is golden@v2 now"), "{text}");
    assert!(text.contains("columns that no --map takes: topic"), "{text}");
    let added = world.run(&[
        "dataset",
        "add",
        "golden",
        "--input-json",
        "{\"q\": \"Why?\"}",
        "--expected",
        "Because",
        "--tag",
        "new",
        "--split",
        "test",
    ]);
    assert!(
        told(&added).contains("added ex_0000000003; `golden` is golden@v3 now"),
        "{}",
        told(&added)
    );
    let examples = world.examples("golden");
    assert_eq!(examples[1]["input"], json!({"q": "6, 7?"}));
    assert_eq!(examples[1]["expected"], "42\nor so");
    assert_eq!(examples[1]["source"], "examples.csv:3");
    assert_eq!(world.examples("golden@v2").len(), 2);
    let found = world.run(&["dataset", "examples", "golden", "--search", "FRANCE"]);
    assert!(told(&found).contains("ex_0000000001") && !told(&found).contains("Why?"));
    let set = world.run(&[
        "dataset",
        "set",
        "golden",
        "ex_1",
        "--input-json",
        "{\"q\": \"New?\"}",
        "--expected",
        "x",
    ]);
    assert!(set.status.success(), "{}", told(&set));
    let removed = world.run(&["dataset", "remove", "golden", "ex_2"]);
    assert!(told(&removed).contains("golden@v5"), "{}", told(&removed));
    let diff = told(&world.run(&["dataset", "diff", "golden@v2"]));
    assert!(diff.contains("v2 to v5: 1 added, 1 removed, 1 changed"), "{diff}");
    assert!(diff.contains("- ex_0000000002") && diff.contains("+ ex_0000000003"), "{diff}");
    let shown = told(&world.run(&["dataset", "show", "golden"]));
    assert!(shown.contains("schema of input, declared:"), "{shown}");
    let snapshots = told(&world.run(&["dataset", "snapshots", "golden"]));
    assert!(snapshots.contains("imported 2 examples from `examples.csv`"), "{snapshots}");
    let listed = told(&world.run(&["dataset", "list", "--tag", "nightly"]));
    assert!(listed.contains("golden"), "{listed}");
    let audit = told(&world.run(&["audit", "--target", "dataset/golden"]));
    for action in [
        "dataset.create",
        "dataset.upload",
        "dataset.import",
        "dataset.add",
        "dataset.change",
        "dataset.remove",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    let deleted = world.run(&["dataset", "delete", "golden", "--yes"]);
    assert!(told(&deleted).contains("deleted `golden`"), "{}", told(&deleted));
    assert_eq!(world.run(&["dataset", "show", "golden"]).status.code(), Some(6));
}

/// Additions, changes and an import at the same time: all of it happens.
#[tokio::test]
async fn writers_at_once_lose_nothing() {
    let world = World::with_golden().await;
    let adds = (0..20).map(|number| {
        let client = world.client.clone();
        tokio::spawn(async move {
            let body = json!({"examples": [{"input": format!("added {number}")}]});
            client.post("/api/v1/datasets/golden/examples", &body).await.status.as_u16()
        })
    });
    let adds: Vec<_> = adds.collect();
    let lines = lines(5_000, "imported");
    let imported = world.import("more.jsonl", lines, &[]);
    assert!(imported.status.success(), "{}", told(&imported));
    for add in adds {
        assert_eq!(add.await.unwrap(), 201);
    }
    let inputs = world.inputs("golden");
    assert_eq!(inputs.len(), 5_020);
    let of_import: Vec<_> =
        inputs.iter().filter(|input| input.as_str().unwrap().starts_with("imported")).collect();
    let expected: Vec<_> = (0..5_000).map(|n| json!(format!("imported {n}"))).collect();
    assert_eq!(of_import, expected.iter().collect::<Vec<_>>());
    let stale = json!({"examples": [{"input": 1}], "after": 1});
    let answer = world.client.post("/api/v1/datasets/golden/examples", &stale).await;
    assert_eq!(answer.refusal(), (409, "conflict".into()));
}
