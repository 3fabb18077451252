use serde_json::{Value, json};

use super::{World, lines, told};

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[tokio::test]
async fn what_is_exported_can_be_imported_again() {
    let world = World::with_golden().await;
    let lines: String = (0..2_000)
        .map(|number| {
            let example = json!({
                "input": {"q": format!("Frage {number}, \"ä\"\n"), "n": number, "x": 0.1},
                "expected": format!("Antwort {number}"),
                "metadata": {"m": [number]},
                "tags": ["a", "b, c"],
                "split": if number % 2 == 0 { "test" } else { "train" },
                "source": "made up",
            });
            example.to_string() + "\n"
        })
        .collect();
    let imported = world.import("first.jsonl", &lines, &[]);
    assert!(imported.status.success(), "{}", told(&imported));
    let content = |example: &Value| {
        let mut content = example.clone();
        content.as_object_mut().unwrap().remove("id");
        content
    };
    let first: Vec<_> = world.examples("golden").iter().map(content).collect();
    assert_eq!(first.len(), 2_000);
    let mut start = 2_000;
    for format in ["csv", "jsonl", "parquet"] {
        let file = world.file(&format!("out.{format}"), "");
        let exported = world.run(&["dataset", "export", "golden@v2", &file]);
        assert!(exported.status.success(), "{format}: {}", told(&exported));
        assert!(told(&exported).contains("wrote 2,000 examples of golden@v2"));
        let imported = world.run(&["dataset", "import", "golden", &file]);
        assert!(imported.status.success(), "{format}: {}", told(&imported));
        let all = world.examples("golden");
        let again: Vec<_> = all[start..].iter().map(content).collect();
        let differs = first.iter().zip(&again).find(|(first, again)| first != again);
        assert!(differs.is_none() && again.len() == first.len(), "{format}: {differs:?}");
        start += 2_000;
    }
    let again = world.run(&[
        "dataset",
        "import",
        "golden",
        &world.file("again.jsonl", &lines),
        "--skip-duplicates",
    ]);
    assert!(told(&again).contains("2,000 were there already"), "{}", told(&again));
    assert_eq!(world.count().await, 8_000);
}

#[tokio::test]
async fn encodings_are_told_from_the_file_or_named() {
    let world = World::with_golden().await;
    let text = "input,expected\nGrüße,café €\n";
    let windows: Vec<u8> = text
        .chars()
        .map(|c| match c {
            '€' => 0x80,
            c => u8::try_from(u32::from(c)).unwrap(),
        })
        .collect();
    let mark = format!("\u{feff}{text}");
    let files = [
        ("plain.csv", text.as_bytes().to_vec(), None),
        ("mark.csv", mark.as_bytes().to_vec(), None),
        ("le.csv", utf16(&mark, u16::to_le_bytes), None),
        ("be.csv", utf16(text, u16::to_be_bytes), None),
        ("windows.csv", windows.clone(), None),
        ("named.csv", windows, Some("latin1")),
    ];
    for (name, bytes, encoding) in files {
        let more: Vec<&str> = encoding.iter().flat_map(|name| ["--encoding", name]).collect();
        let imported = world.import(name, bytes, &more);
        assert!(imported.status.success(), "{name}: {}", told(&imported));
        let was_guessed = told(&imported).contains("if that is wrong, say --encoding");
        assert_eq!(was_guessed, ["le.csv", "be.csv", "windows.csv"].contains(&name), "{name}");
    }
    for example in world.examples("golden") {
        assert_eq!((&example["input"], &example["expected"]), (&json!("Grüße"), &json!("café €")));
    }
    let unknown = world.import("x.csv", "input\nx\n", &["--encoding", "utf-9"]);
    assert!(told(&unknown).contains("`utf-9` is not an encoding"), "{}", told(&unknown));
}

#[tokio::test]
async fn rows_that_are_no_examples_end_an_import_or_are_left_out() {
    let world = World::with_golden().await;
    let csv = "input,expected\nq1,a1\nq2,a2,more\nq3\n,a4\nq5,a5\n";
    let failed = world.import("ragged.csv", csv, &[]);
    assert_eq!(failed.status.code(), Some(9), "{}", told(&failed));
    let text = told(&failed);
    assert!(text.contains("ragged.csv: line 3: has 3 fields, and there are 2 columns"), "{text}");
    assert!(text.contains("--on-error skip"), "{text}");
    assert_eq!(world.count().await, 0);
    let rejected = world.file("rejected.jsonl", "");
    let skipped =
        world.import("ragged.csv", csv, &["--on-error", "skip", "--reject-file", &rejected]);
    assert!(skipped.status.success(), "{}", told(&skipped));
    assert!(told(&skipped).contains("imported 3 of 5 rows"), "{}", told(&skipped));
    let lines = std::fs::read_to_string(&rejected).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["line"], &lines[0]["row"]), (&json!(3), &json!("q2,a2,more")));
    let lines = "{\"input\": 1}\n{\"input\": NaN}\n{\"expected\": 2}\n";
    let failed = told(&world.import("bad.jsonl", lines, &[]));
    assert!(failed.contains("bad.jsonl: line 2: character 11: JSON has no NaN"), "{failed}");
    let schema = world.file("schema.json", "{\"input\": {\"type\": \"integer\"}}");
    assert!(world.run(&["dataset", "create", "strict", "--schema", &schema]).status.success());
    let file = world.file("numbers.csv", "input\n1\ntwo\n");
    let failed = told(&world.run(&["dataset", "import", "strict", &file]));
    assert!(
        failed.contains("numbers.csv: line 3, column `input`: `two` is not of the type integer"),
        "{failed}"
    );
}

#[tokio::test]
async fn parquet_that_is_damaged_is_told_and_nothing_is_imported() {
    let world = World::with_golden().await;
    let lines = lines(2_000, "q");
    assert!(world.import("first.jsonl", lines, &[]).status.success());
    let file = world.file("whole.parquet", "");
    assert!(world.run(&["dataset", "export", "golden", &file]).status.success());
    let whole = std::fs::read(&file).unwrap();
    let cut = told(&world.import("cut.parquet", &whole[..whole.len() / 2], &[]));
    assert!(cut.contains("cut.parquet: this is not a whole Parquet file"), "{cut}");
    let mut damaged = whole.clone();
    damaged[4..whole.len() / 2].fill(0x41);
    let damaged = world.import("damaged.parquet", damaged, &[]);
    assert_eq!(damaged.status.code(), Some(9), "{}", told(&damaged));
    let text = told(&world.import("text.parquet", "input\nx\n", &[]));
    assert!(text.contains("not a whole Parquet file"), "{text}");
    let named = told(&world.import("x.csv", &whole, &[]));
    assert!(named.contains("this is a Parquet file"), "{named}");
    assert_eq!(world.count().await, 2_000);
}
