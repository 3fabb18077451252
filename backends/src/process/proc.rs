//! What `/proc` tells of a process. The numbers of the fields are those of `proc_pid_stat(5)`.

use std::fs;
use std::io;

/// The variables that tag a process as ours.
pub(super) const DEPLOYMENT: &str = "DIOGENES_DEPLOYMENT";
pub(super) const CLAIM: &str = "DIOGENES_CLAIM";
pub(super) const MODEL: &str = "DIOGENES_MODEL";

/// The part of a process's environment that tells whose it is.
pub(super) struct Tags {
    pub(super) deployment: String,
    pub(super) claim: String,
    pub(super) model: Option<String>,
}

impl Tags {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let value = |name: &str| {
            environment.split(|byte| *byte == 0).find_map(|entry| {
                let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                String::from_utf8(value.to_vec()).ok()
            })
        };
        Some(Self {
            deployment: value(DEPLOYMENT)?,
            claim: value(CLAIM).filter(|claim| !claim.is_empty())?,
            model: value(MODEL),
        })
    }
}

/// The numbers of all processes.
pub(super) fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The id of this boot; `random(4)`.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The fields of `/proc/<pid>/stat` that matter here.
pub(super) struct Stat {
    state: char,
    pub(super) group: i32,
    threads: u32,
    pub(super) start_time: u64,
}

impl Stat {
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold spaces and brackets; field 3 follows the last one.
        let (_, fields) = text.rsplit_once(')')?;
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3);
        Some(Self {
            state: field(3)?.chars().next()?,
            group: field(5)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            start_time: field(22)?.parse().ok()?,
        })
    }

    /// A leader thread that has ended is a zombie while its other threads run.
    pub(super) fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_moves_no_field() {
        let text = "42 (a ) b) S 1 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 99887 1 2\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.group), ('S', 42));
        assert_eq!((stat.threads, stat.start_time), (3, 99887));
    }
}
