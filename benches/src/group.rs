use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// A program under test, pinned to the proxies' core, with all processes that it starts. Ends with
/// this value.
pub(crate) struct Group {
    child: Child,
    log: PathBuf,
}

impl Group {
    /// Starts a program as a process group of its own. What it prints goes to `log`.
    pub(crate) fn start(
        program: &str,
        prepare: impl FnOnce(&mut Command),
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::create(&log)?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", "1", program])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        prepare(&mut command);
        let child = command.spawn().context("taskset does not run; it is in util-linux")?;
        Ok(Self { child, log })
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of that.
    pub(crate) fn last_words(&self) -> String {
        let printed = self.printed();
        let lines: Vec<&str> = printed.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Whether a process of it still runs.
    pub(crate) fn runs(&self) -> bool {
        self.processes().iter().any(|process| process.state != "Z")
    }

    /// CPU time of its processes, user and system, in microseconds.
    pub(crate) fn cpu_micros(&self) -> anyhow::Result<f64> {
        // `getconf CLK_TCK` is 100 on every Linux that matters.
        const MICROS_PER_TICK: f64 = 10_000.0;
        let processes = self.processes();
        (!processes.is_empty()).then_some(()).context("its processes are gone")?;
        Ok(processes.iter().map(|process| process.ticks).sum::<f64>() * MICROS_PER_TICK)
    }

    /// Resident memory of its processes, in MiB. What they share counts for each of them.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<f64> {
        self.processes().iter().map(|process| mib(process.pid, "VmRSS:")).sum()
    }

    /// The most that was resident of each of its processes, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        self.processes().iter().map(|process| mib(process.pid, "VmHWM:")).sum()
    }

    fn processes(&self) -> Vec<Process> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Process::read)
            .filter(|process| process.group == self.child.id())
            .collect()
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.runs() && Instant::now() < deadline {
            let _ = self.child.try_wait();
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// What `/proc/PID/stat` tells of a process; see proc_pid_stat(5).
struct Process {
    pid: u32,
    state: String,
    group: u32,
    ticks: f64,
}

impl Process {
    /// None if it has ended.
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may contain anything, so the fields behind its last bracket count.
        let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<f64>().ok();
        Some(Self {
            pid,
            state: (*fields.first()?).to_owned(),
            group: fields.get(2)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
        })
    }
}

fn mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = Path::new("/proc").join(pid.to_string()).join("status");
    let status = std::fs::read_to_string(status).unwrap_or_default();
    // A process that has ended has none.
    let Some(line) = status.lines().find_map(|line| line.strip_prefix(field)) else {
        return Ok(0.0);
    };
    let kib: f64 = line
        .split_whitespace()
        .next()
        .with_context(|| format!("no number behind {field}"))?
        .parse()?;
    Ok(kib / 1024.0)
}
