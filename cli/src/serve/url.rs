//! Where the `serve` of a data directory answers, for the commands of the same machine.

use std::io;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};

use crate::client::Address;

/// The file in the data directory that holds it.
pub(crate) const FILE: &str = "url";

/// Leaves the URL in the data directory. It counts as long as the process in `lock` lives.
pub(super) fn leave(data_dir: &Path, url: &str) -> io::Result<()> {
    let fresh = data_dir.join("url.new");
    std::fs::write(&fresh, format!("{url}\n"))?;
    std::fs::rename(fresh, data_dir.join(FILE))
}

/// Where the `serve` that runs with this data directory answers.
pub(crate) fn running(data_dir: &Path) -> Option<Address> {
    // Reading tells as much as trying the lock, and cannot get in the way of a start.
    let pid = std::fs::read_to_string(data_dir.join("lock")).ok()?;
    let pid: u32 = pid.trim().parse().ok()?;
    let pid = Pid::from_raw(pid.try_into().ok()?)?;
    let lives = match test_kill_process(pid) {
        Ok(()) => true,
        // It is somebody else's.
        Err(error) => error == rustix::io::Errno::PERM,
    };
    let url = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    // It runs on this machine. A directory that somebody else has filled must not send a key away.
    url.parse().ok().filter(|url: &Address| lives && url.is_here())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_counts_while_its_server_lives() {
        let dir = tempfile::tempdir().expect("a directory");
        let found = || running(dir.path()).map(|url| url.to_string());
        let lock = |text: &str| std::fs::write(dir.path().join("lock"), text).expect("written");
        leave(dir.path(), "http://127.0.0.1:4711").expect("written");
        assert_eq!(found(), None);
        lock(&format!("{}\n", std::process::id()));
        assert_eq!(found().as_deref(), Some("http://127.0.0.1:4711"));
        for elsewhere in ["https://example.com", "http://192.0.2.1:8080"] {
            leave(dir.path(), elsewhere).expect("written");
            assert_eq!(found(), None, "{elsewhere}");
        }
        leave(dir.path(), "http://127.0.0.1:4711").expect("written");
        // Past the largest pid.
        for text in ["", "2147483647", "no pid", "-1", "0"] {
            lock(text);
            assert_eq!(found(), None, "{text}");
        }
    }
}
