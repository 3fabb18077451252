use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::{DataDir, DataDirError};
use super::bound_by_permissions;

#[test]
fn directory_is_created_for_its_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("var").join("diogenes");
    let directory = DataDir::open(&path).unwrap();
    assert_eq!(directory.path(), path);
    assert_eq!(directory.database(), path.join("state.db"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn second_owner_learns_who_is_the_first() {
    let place = tempfile::tempdir().unwrap();
    let first = DataDir::open(place.path()).unwrap();
    for _ in 0..2 {
        let error = DataDir::open(place.path()).unwrap_err();
        assert!(
            matches!(error, DataDirError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
            "{error:?}"
        );
        let message = error.to_string();
        let owner = format!("in use by process {}", std::process::id());
        assert!(message.contains(&owner), "{message}");
    }
    drop(first);
    DataDir::open(place.path()).unwrap();
}

#[test]
fn owner_without_a_pid_is_another_process() {
    let place = tempfile::tempdir().unwrap();
    let _first = DataDir::open(place.path()).unwrap();
    fs::write(place.path().join("lock"), "").unwrap();
    let message = DataDir::open(place.path()).unwrap_err().to_string();
    assert!(message.contains("in use by another process"), "{message}");
}

#[test]
fn file_in_the_place_of_the_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "content").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = DataDir::open(path).unwrap_err();
        assert!(matches!(error, DataDirError::NotADirectory { .. }), "{error:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"content");
}

#[test]
fn read_only_directory_is_refused() {
    if !bound_by_permissions("sqlite::tests::data_dir::read_only_directory_is_refused") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o500)).unwrap();
    for path in [place.path().to_owned(), place.path().join("new")] {
        let error = DataDir::open(path).unwrap_err();
        assert!(matches!(error, DataDirError::ReadOnly { .. }), "{error:?}");
    }
}
