use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Access;

use super::report::Report;
use crate::serve::{ADMIN_KEY_FILE, URL_FILE, running_url};

const NAME: &str = "data directory";
/// Below this the database may fail to write.
const LEAST: u64 = 64 << 20;
/// Below this logs and models' caches soon fill it.
const LITTLE: u64 = 1 << 30;

/// Checks the directory, and tells whether a `serve` runs with it.
pub(super) fn check(path: &Path, report: &mut Report) -> bool {
    let lock = Lock::of(path);
    let shown = path.display();
    let standing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let can_write = rustix::fs::access(standing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if !standing.is_dir() {
        let next = "move the file away, or choose another directory with --data-dir";
        report.fail(NAME, format!("{} is not a directory", standing.display()), next);
        return false;
    }
    if !can_write {
        let next = "let this user write it, or choose another directory with --data-dir";
        report.fail(NAME, format!("{} cannot be written", standing.display()), next);
    } else if standing == path {
        report.ok(NAME, format!("{shown}, {lock}"));
    } else {
        report.ok(NAME, format!("{shown}, will be created at the first start"));
    }
    check_space(standing, report);
    check_key(path, report);
    if let Lock::Free = lock {
        check_url(path, report);
    }
    !matches!(lock, Lock::Free)
}

/// Who has the lock.
enum Lock {
    Free,
    /// A `serve`, with this process id.
    Held(Option<u32>),
    Unknown(io::Error),
}

impl Lock {
    /// The lock of a directory. It is tried for a moment only.
    fn of(path: &Path) -> Self {
        let Ok(mut lock) = File::open(path.join("lock")) else { return Self::Free };
        match lock.try_lock_shared() {
            Ok(()) => Self::Free,
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = lock.read_to_string(&mut pid).ok();
                Self::Held(read.and_then(|_| pid.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Self::Unknown(error),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("not in use"),
            Self::Held(Some(pid)) => write!(f, "in use by process {pid}"),
            Self::Held(None) => f.write_str("in use"),
            Self::Unknown(error) => write!(f, "the lock cannot be checked: {error}"),
        }
    }
}

/// The URL left by a `serve` that has ended. Another process may have its number by now.
fn check_url(path: &Path, report: &mut Report) {
    const NAME: &str = "url";
    let file = path.join(URL_FILE);
    if let Some(url) = running_url(path) {
        let next = format!("remove {}, or start `diogenes serve`", file.display());
        let detail =
            format!("{url} is stale: its `diogenes serve` has ended, but clients still use it");
        report.warn(NAME, detail, next);
    } else if let Ok(url) = fs::read_to_string(&file) {
        let detail = format!("{} is stale: its `diogenes serve` has ended", url.trim());
        report.ok(NAME, format!("{detail}; no client uses it"));
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
        assert_eq!(Lock::of(dir.path()).to_string(), "not in use");
        let lock = File::create(dir.path().join("lock")).expect("made");
        lock.lock().expect("locked");
        fs::write(dir.path().join("lock"), "4711\n").expect("written");
        assert_eq!(Lock::of(dir.path()).to_string(), "in use by process 4711");
    }

    #[test]
    fn a_url_that_outlived_its_server_is_stale() {
        let dir = tempfile::tempdir().expect("a directory");
        let url = |path: &Path| {
            let report = found(path);
            let checks = report["checks"].as_array().expect("checks").clone();
            let check = checks.into_iter().find(|check| check["name"] == "url");
            check.map(|check| check["status"].as_str().expect("a status").to_owned())
        };
        assert_eq!(url(dir.path()), None);
        fs::write(dir.path().join("url"), "http://127.0.0.1:4711\n").expect("written");
        fs::write(dir.path().join("lock"), "2147483647\n").expect("written");
        assert_eq!(url(dir.path()).as_deref(), Some("ok"));
        // The number of a process that has not the lock.
        fs::write(dir.path().join("lock"), format!("{}\n", std::process::id())).expect("written");
        assert_eq!(url(dir.path()).as_deref(), Some("warning"));
        let lock = File::open(dir.path().join("lock")).expect("there");
        lock.lock().expect("locked");
        assert_eq!(url(dir.path()), None);
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
