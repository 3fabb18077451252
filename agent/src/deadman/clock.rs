use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A clock that cannot be set.
pub trait BootClock: Send + Sync {
    /// The time since the boot of the machine, suspension included.
    fn since_boot(&self) -> Duration;
}

/// The kernel's `CLOCK_BOOTTIME`; `clock_gettime(2)`.
#[derive(Clone, Copy, Debug)]
pub struct KernelClock;

impl BootClock for KernelClock {
    fn since_boot(&self) -> Duration {
        // It counts from zero at boot, so that neither part is ever negative.
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_clock_agrees_with_its_uptime() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let now = KernelClock.since_boot().as_secs_f64();
        assert!((now - uptime).abs() < 5.0, "{now} {uptime}");
    }
}
