use diogenes_e2e::{Config, Serve};
use serde_json::{Value, json};

use super::{caller, upload};

#[tokio::test]
async fn files_are_listed_shown_read_and_deleted() {
    let serve = Serve::start(Config::with([])).await;
    let client = caller(&serve.client()).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(upload(&client, &format!("line {number}\n")).await);
    }
    let ids_of = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap();
        data.iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = client.get("/v1/files").await.json();
    let newest: Vec<_> = ids.iter().rev().cloned().collect();
    let mut listed = ids_of(&all);
    // Within a millisecond they have no order.
    listed.sort();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!((listed, &all["has_more"]), (sorted.clone(), &json!(false)));
    let page = client.get("/v1/files?limit=2&order=asc").await.json();
    assert_eq!((ids_of(&page), &page["has_more"]), (sorted[..2].to_vec(), &json!(true)));
    let next = format!("/v1/files?order=asc&after={}", page["last_id"].as_str().unwrap());
    assert_eq!(ids_of(&client.get(&next).await.json()), sorted[2..]);
    assert_eq!(ids_of(&client.get("/v1/files?purpose=evals").await.json()), Vec::<String>::new());
    assert_eq!(newest.len(), 5);

    let path = format!("/v1/files/{}", ids[3]);
    let file = client.get(&path).await.json();
    assert_eq!((&file["bytes"], &file["purpose"]), (&json!(7), &json!("batch")));
    assert_eq!((&file["object"], &file["status"]), (&json!("file"), &json!("processed")));
    let day = 24 * 3_600;
    let life = file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap();
    assert_eq!(life, 30 * day);
    let content = client.get(&format!("{path}/content")).await;
    assert_eq!(
        (content.text().as_str(), content.header("content-length")),
        ("line 3\n", Some("7"))
    );
    let deleted = client.delete(&path).await.json();
    assert_eq!(deleted, json!({"id": ids[3], "object": "file", "deleted": true}));
    for path in [path.clone(), format!("{path}/content")] {
        let answer = client.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "file_not_found"));
    }
    let folder = serve.data_dir().join("blobs/files/default");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 4);
}

#[tokio::test]
async fn a_large_file_comes_back_as_it_was() {
    let serve = Serve::start(Config::with([])).await;
    let client = caller(&serve.client()).await;
    // Beyond the largest body of other requests, and no multiple of anything.
    let content: Vec<u8> = (0..=255u8).cycle().take((40 << 20) + 17).collect();
    let form = client.form("/v1/files", &[("purpose", "user_data")], ("file", &content));
    let file = client.send(form).await.json();
    assert_eq!((&file["bytes"], &file["expires_at"]), (&json!(content.len()), &json!(null)));
    let path = format!("/v1/files/{}/content", file["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.body, content);
}

#[tokio::test]
async fn bad_uploads_are_refused_and_leave_nothing() {
    let serve = Serve::start(Config::with([])).await;
    let client = caller(&serve.client()).await;
    let fields: [(&[(&str, &str)], &str); 7] = [
        (&[], "purpose"),
        (&[("purpose", "fine-tune")], "purpose"),
        (&[("purpose", "batch_output")], "purpose"),
        (&[("purpose", "batch"), ("expires_after[anchor]", "created_at")], "expires_after"),
        (&[("purpose", "batch"), ("expires_after[seconds]", "1")], "expires_after"),
        (&[("purpose", "batch"), ("expires_after[seconds]", "-1")], "expires_after"),
        (&[("purpose", "batch"), ("colour", "blue")], "colour"),
    ];
    for (fields, param) in fields {
        let answer = client.send(client.form("/v1/files", fields, ("file", b"x"))).await;
        assert_eq!(answer.status, 400, "{fields:?}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text());
    }
    let form = client.form("/v1/files", &[("purpose", "batch")], ("content", b"x"));
    assert_eq!(client.send(form).await.status, 400);
    let answer = client.post("/v1/files", &json!({"purpose": "batch"})).await;
    assert!(answer.text().contains("multipart/form-data"), "{}", answer.text());
    for query in ["limit=0", "limit=x", "order=up", "after=x", "purpose=x", "colour=blue"] {
        assert_eq!(client.get(&format!("/v1/files?{query}")).await.status, 400, "{query}");
    }
    let folder = serve.data_dir().join("blobs/files/default");
    let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing was kept");
}

#[tokio::test]
async fn the_files_of_a_project_have_only_so_much_room() {
    let config = Config::with([]).tables("[files]\nmax_bytes_per_project = 20\n");
    let serve = Serve::start(config).await;
    let client = caller(&serve.client()).await;
    let send = async |content: &[u8]| {
        let form = client.form("/v1/files", &[("purpose", "user_data")], ("file", content));
        client.send(form).await
    };
    let file = send(&[0; 12]).await.json();
    let answer = send(&[0; 9]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (507, "no_room"));
    assert!(answer.text().contains("the 8 bytes"), "{}", answer.text());
    // What is on its way counts.
    let create = |bytes: u64| json!({"purpose": "user_data", "filename": "x", "bytes": bytes, "mime_type": "text/plain"});
    assert_eq!(client.post("/v1/uploads", &create(9)).await.status, 507);
    let upload = client.post("/v1/uploads", &create(8)).await.json();
    let full = send(b"x").await;
    assert_eq!(full.status, 507, "{}", full.text());
    assert!(full.text().contains("20 bytes in all, of which 0 are left"), "{}", full.text());
    // A part is no larger than its upload, and there are not endlessly many.
    let path = format!("/v1/uploads/{}", upload["id"].as_str().unwrap());
    let add = async |content: &[u8]| {
        client.send(client.form(&format!("{path}/parts"), &[], ("data", content))).await
    };
    assert_eq!(add(&[0; 9]).await.status, 413);
    for _ in 0..3 {
        assert_eq!(add(&[0; 8]).await.status, 200);
    }
    let fourth = add(&[0; 8]).await;
    assert_eq!(fourth.status, 400);
    assert!(fourth.text().contains("24 bytes for an upload of 8"), "{}", fourth.text());
    client.post(&format!("{path}/cancel"), &json!({})).await.json();
    client.delete(&format!("/v1/files/{}", file["id"].as_str().unwrap())).await.json();
    send(&[0; 20]).await.json();
}

#[tokio::test]
async fn files_leave_the_disk_room_for_what_else_is_on_it() {
    let config = Config::with([]).tables("[files]\nkeep_free = \"1000000TiB\"\n");
    let serve = Serve::start(config).await;
    let client = caller(&serve.client()).await;
    let form = client.form("/v1/files", &[("purpose", "user_data")], ("file", b"x"));
    let answer = client.send(form).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (507, "no_room"));
}

/// A file in parts, as OpenAI's client sends a large one.
#[tokio::test]
async fn a_file_may_come_in_parts() {
    let serve = Serve::start(Config::with([])).await;
    let client = caller(&serve.client()).await;
    let create = json!({
        "purpose": "batch", "filename": "big.jsonl", "bytes": 10, "mime_type": "application/jsonl",
    });
    let upload = client.post("/v1/uploads", &create).await.json();
    assert_eq!((&upload["status"], &upload["object"]), (&json!("pending"), &json!("upload")));
    let path = format!("/v1/uploads/{}", upload["id"].as_str().unwrap());
    let mut parts = Vec::new();
    for piece in ["56789", "01234"] {
        let form = client.form(&format!("{path}/parts"), &[], ("data", piece.as_bytes()));
        let part = client.send(form).await.json();
        assert_eq!((&part["object"], &part["upload_id"]), (&json!("upload.part"), &upload["id"]));
        parts.push(part["id"].clone());
    }
    parts.reverse();
    let complete = format!("{path}/complete");
    for (body, param) in [
        (json!({"part_ids": []}), "part_ids"),
        (json!({"part_ids": [parts[0]]}), "part_ids"),
        (json!({"part_ids": [parts[0], parts[0]]}), "part_ids"),
        (json!({"part_ids": [parts[0], "part_0"]}), "part_ids"),
        (json!({"part_ids": parts, "md5": "0"}), "md5"),
    ] {
        let answer = client.post(&complete, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text());
    }
    let body = json!({"part_ids": parts, "md5": "781E5E245D69B566979B86E28D23F2C7"});
    let done = client.post(&complete, &body).await.json();
    assert_eq!((&done["status"], &done["file"]["bytes"]), (&json!("completed"), &json!(10)));
    let content = format!("/v1/files/{}/content", done["file"]["id"].as_str().unwrap());
    assert_eq!(client.get(&content).await.text(), "0123456789");
    for after in ["complete", "cancel"] {
        let body = if after == "cancel" { json!({}) } else { json!({"part_ids": []}) };
        let answer = client.post(&format!("{path}/{after}"), &body).await;
        assert_eq!(answer.status, 409, "{after}: {}", answer.text());
    }
    let left = std::fs::read_dir(serve.data_dir().join("blobs/uploads/default"));
    assert_eq!(left.map_or(0, Iterator::count), 0, "the parts are gone");

    let other = client.post("/v1/uploads", &create).await.json();
    let path = format!("/v1/uploads/{}", other["id"].as_str().unwrap());
    let cancelled = client.post(&format!("{path}/cancel"), &json!({})).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    let form = client.form(&format!("{path}/parts"), &[], ("data", b"x"));
    assert_eq!(client.send(form).await.status, 409);
    let huge = json!({
        "purpose": "batch", "filename": "x", "bytes": 200_000_001, "mime_type": "text/plain",
    });
    assert_eq!(client.post("/v1/uploads", &huge).await.json()["error"]["param"], "bytes");
}

#[tokio::test]
async fn files_are_uploaded_read_and_deleted_from_the_command_line() {
    let serve = Serve::start(Config::with([])).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "one\ntwo").unwrap();
    let run = |arguments: &[&str]| {
        let output = serve.cli(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), error)
    };
    let upload = ["file", "upload", path.to_str().unwrap(), "--purpose", "user_data", "-o", "json"];
    let (code, text, error) = run(&upload);
    assert_eq!(code, Some(0), "{error}");
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&file["filename"], &file["bytes"]), (&json!("notes.txt"), &json!(7)));
    let id = file["id"].as_str().unwrap();
    assert_eq!(run(&["file", "content", id]).1, "one\ntwo");
    let (_, listed, _) = run(&["file", "list"]);
    assert!(
        listed.contains(id) && listed.contains("user_data") && listed.contains("7 B"),
        "{listed}"
    );
    let (_, other, note) = run(&["file", "list", "--purpose", "batch_output"]);
    assert_eq!(other, "");
    assert!(note.contains("diogenes file upload FILE"), "{note}");
    assert!(run(&["file", "show", id]).1.contains("kept until:  it is deleted"));
    let (code, _, error) = run(&["file", "delete", id]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(run(&["file", "delete", id, "--yes"]).1, format!("deleted `{id}`\n"));
    assert_eq!(run(&["file", "show", id]).0, Some(6));
    let (code, _, error) = run(&["file", "upload", "/nowhere/notes.txt"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("/nowhere/notes.txt"), "{error}");
}
