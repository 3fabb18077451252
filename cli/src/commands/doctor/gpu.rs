use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::report::Report;

const NAME: &str = "gpu";
/// A driver in trouble lets `nvidia-smi` hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks for a GPU. None is fine: there are engines for the CPU.
pub(super) async fn check(report: &mut Report) {
    match nvidia().await {
        Ok(gpus) if !gpus.is_empty() => report.ok(NAME, gpus.join("; ")),
        Err(problem) if Path::new("/dev/nvidia0").exists() => {
            let next =
                "run `nvidia-smi`, and check that the driver version matches the kernel module";
            report.warn(NAME, format!("/dev/nvidia0 exists, but {problem}"), next);
        }
        Ok(_) | Err(_) => without_nvidia(report),
    }
}

fn without_nvidia(report: &mut Report) {
    if Path::new("/dev/kfd").exists() {
        report.ok(NAME, "AMD (/dev/kfd)");
    } else {
        report.ok(NAME, "none: models run on the CPU");
    }
}

async fn nvidia() -> Result<Vec<String>, String> {
    let run = Command::new("nvidia-smi")
        .args(["--query-gpu=name,memory.total", "--format=csv,noheader"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(PATIENCE, run)
        .await
        .map_err(|_| "`nvidia-smi` does not respond".to_owned())?
        .map_err(|error| format!("`nvidia-smi` cannot be run ({error})"))?;
    if !done.status.success() {
        return Err(format!("`nvidia-smi` failed with {}", done.status));
    }
    let text = String::from_utf8_lossy(&done.stdout);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
