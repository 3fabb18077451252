//! What this machine has for jobs.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use diogenes_api::jobs::Commands;
use diogenes_core::jobs::Capacity;

/// The cores, memory and GPUs of this machine, and the commands that it is configured with.
pub(crate) fn of_machine(commands: &Commands) -> Capacity {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Capacity {
        cpu: u32::try_from(cores).unwrap_or(u32::MAX),
        memory: memory().unwrap_or(0),
        // To ask for them takes a second on some machines, and only commands need them.
        gpu: if commands.is_empty() { 0 } else { gpus() },
        commands: commands.keys().cloned().collect::<BTreeSet<_>>(),
    }
}

/// In bytes; `proc_meminfo(5)`.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// As NVIDIA's driver lists them; none where it is not there.
fn gpus() -> u32 {
    let listed = Command::new("nvidia-smi").arg("-L").stdin(Stdio::null()).output();
    let listed = listed.ok().filter(|output| output.status.success());
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let count = text.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("GPU "));
    u32::try_from(count.count()).unwrap_or(0)
}
