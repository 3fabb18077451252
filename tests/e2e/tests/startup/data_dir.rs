//! A data directory that cannot be used is left as it is.

use std::path::Path;

use diogenes_e2e::refused_to_start;
use tempfile::tempdir;

fn start(data_dir: &Path) -> (Option<i32>, String) {
    refused_to_start(&["--listen", "127.0.0.1:0", "--data-dir", &data_dir.display().to_string()])
}

#[test]
fn a_file_in_its_place_is_refused() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        let (code, said) = start(&path);
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains(&path.display().to_string()) && said.contains("is not a directory"),
            "{said}"
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    // Not even root can write there.
    let (code, said) = start(Path::new("/proc/diogenes"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("/proc/diogenes"), "{said}");
}

#[test]
fn a_database_that_is_damaged_is_refused_and_left_as_it_is() {
    let mut header = b"SQLite format 3\0".to_vec();
    header.resize(8192, 0xa5);
    for content in [b"not a database at all".to_vec(), header] {
        let folder = tempdir().unwrap();
        let file = folder.path().join("state.db");
        std::fs::write(&file, &content).unwrap();
        let (code, said) = start(folder.path());
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&file.display().to_string()), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
        assert!(!folder.path().join("admin.key").exists());
    }
}

#[tokio::test]
async fn a_database_that_lost_a_page_is_refused_and_left_as_it_is() {
    let mut serve = diogenes_e2e::Serve::start(diogenes_e2e::Config::default()).await;
    for number in 0..50 {
        let email = format!("{number}@example.com");
        serve.client().create_key(&serde_json::json!({"email": email})).await;
    }
    serve.terminate().await;
    let file = serve.data_dir().join("state.db");
    let mut content = std::fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle..].fill(0xa5);
    std::fs::write(&file, &content).unwrap();
    let (code, said) = start(&serve.data_dir());
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is damaged") && said.contains("backup"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), content);
}
