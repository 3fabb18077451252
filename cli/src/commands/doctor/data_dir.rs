use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Access;

use super::report::Report;
use crate::serve::ADMIN_KEY_FILE;

const NAME: &str = "data directory";
/// Below this the database may fail to write.
const LEAST: u64 = 64 << 20;
/// Below this logs and models' caches soon fill it.
const LITTLE: u64 = 1 << 30;

pub(super) fn check(path: &Path, report: &mut Report) {
    let shown = path.display();
    let standing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let can_write = rustix::fs::access(standing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if !standing.is_dir() {
        let next = "move the file away, or choose another directory with --data-dir";
        report.fail(NAME, format!("{} is not a directory", standing.display()), next);
        return;
    }
    if !can_write {
        let next = "let this user write it, or choose another directory with --data-dir";
        report.fail(NAME, format!("{} cannot be written", standing.display()), next);
    } else if standing == path {
        report.ok(NAME, format!("{shown}, {}", in_use(path)));
    } else {
        report.ok(NAME, format!("{shown}, will be created at the first start"));
    }
    check_space(standing, report);
    check_key(path, report);
}

/// Who has the lock. It is tried for a moment only.
fn in_use(path: &Path) -> String {
    let Ok(mut lock) = File::open(path.join("lock")) else {
        return "not in use".into();
    };
    match lock.try_lock_shared() {
        Ok(()) => "not in use".into(),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            match lock.read_to_string(&mut pid).map(|_| pid.trim().parse::<u32>()) {
                Ok(Ok(pid)) => format!("in use by process {pid}"),
                Ok(Err(_)) | Err(_) => "in use".into(),
            }
        }
        Err(TryLockError::Error(error)) => format!("the lock cannot be checked: {error}"),
    }
}

fn check_space(path: &Path, report: &mut Report) {
    const NAME: &str = "disk space";
    let free = match rustix::fs::statvfs(path) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let next = format!("check it with `df {}`", path.display());
            report.warn(NAME, format!("unknown: {}", io::Error::from(error)), next);
            return;
        }
    };
    let text = format!("{} free", size(free));
    let next = "free some space, or choose a directory on another disk with --data-dir";
    match free {
        ..LEAST => report.fail(NAME, text, next),
        LEAST..LITTLE => report.warn(NAME, text, next),
        LITTLE.. => report.ok(NAME, text),
    }
}

fn check_key(data_dir: &Path, report: &mut Report) {
    let path = data_dir.join(ADMIN_KEY_FILE);
    match fs::metadata(&path) {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            let for_others = mode & 0o077;
            if for_others == 0 {
                report.ok(ADMIN_KEY_FILE, format!("readable by its owner only (mode {mode:04o})"));
            } else {
                let next = format!("chmod 600 {}", path.display());
                report.fail(ADMIN_KEY_FILE, format!("readable by others (mode {mode:04o})"), next);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.ok(ADMIN_KEY_FILE, "not yet created; the first `diogenes serve` does that");
        }
        Err(error) => {
            let next = "run as the user of `diogenes serve`, or set a key with --api-key";
            report.warn(ADMIN_KEY_FILE, format!("cannot be checked: {error}"), next);
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..LITTLE => format!("{} MiB", bytes >> 20),
        LITTLE.. => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &Path) -> serde_json::Value {
        let mut report = Report::default();
        check(path, &mut report);
        report.to_value()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn a_key_that_others_may_read_is_a_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = dir.path().join(ADMIN_KEY_FILE);
        fs::write(&key, "dg_x").expect("written");
        set_mode(&key, 0o644);
        let report = found(dir.path());
        assert_eq!(report["checks"][2]["status"], "failed", "{report}");
        set_mode(&key, 0o600);
        let report = found(dir.path());
        assert_eq!(report["checks"][2]["status"], "ok", "{report}");
        assert!(!report.to_string().contains("dg_x"));
    }

    #[test]
    fn a_directory_in_use_names_its_process() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(in_use(dir.path()), "not in use");
        let lock = File::create(dir.path().join("lock")).expect("made");
        lock.lock().expect("locked");
        fs::write(dir.path().join("lock"), "4711\n").expect("written");
        assert_eq!(in_use(dir.path()), "in use by process 4711");
    }

    #[test]
    fn a_file_in_its_place_is_a_failure_and_nothing_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        assert_eq!(found(&file.join("data"))["ok"], false);
        let fresh = dir.path().join("not/yet");
        assert_eq!(found(&fresh)["checks"][0]["status"], "ok");
        assert!(!fresh.exists());
    }
}
