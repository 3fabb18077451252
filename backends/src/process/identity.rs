//! Which process is meant, though numbers are reused, and what is left of its group.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use diogenes_core::fleet::DeploymentId;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, test_kill_process_group,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::proc::{Stat, Tags, boot_id, processes};

/// How often a process is looked at on a kernel without pidfds (before Linux 5.3).
const POLL: Duration = Duration::from_millis(50);

/// A process, and with it the group that it leads. A number comes back after it was freed, the
/// start time and the boot do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its number; also that of its group.
    pub(super) pid: i32,
    /// When it started, in clock ticks since the boot.
    pub(super) start_time: u64,
    /// The boot in which both count.
    pub(super) boot_id: String,
}

impl Identity {
    /// Who `pid` is now.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        let stat = Stat::of(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// The group `pid` whose leader has ended. Its number is free of other processes while
    /// the group is there, so that its start time is never asked for.
    pub(super) fn of_ended_leader(pid: i32) -> io::Result<Self> {
        if Stat::of(pid).is_some_and(|stat| stat.lives()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { pid, start_time: 0, boot_id: boot_id()? })
    }

    /// Whether the leader runs; a zombie does not.
    pub(super) fn leader_lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.lives() && stat.start_time == self.start_time)
    }

    /// Whether the number belongs to another process by now; then the group is gone, since a
    /// number is not reused while a group bears it.
    fn is_reused(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.lives() && stat.start_time != self.start_time)
    }

    /// Whether nothing at all bears the group's number, which is quickly told.
    pub(super) fn group_is_empty(&self) -> bool {
        Pid::from_raw(self.pid).is_none_or(|pid| test_kill_process_group(pid) == Err(Errno::SRCH))
    }

    /// The members of the group that run; none once the number is another's.
    pub(super) fn members(&self) -> Vec<i32> {
        if self.group_is_empty() || self.is_reused() {
            return Vec::new();
        }
        processes()
            .filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.lives() && stat.group == self.pid))
            .collect()
    }

    /// Whether the group that a record speaks of still is that group: its leader runs, or a
    /// member that carries the claim does.
    pub(super) fn group_is_still(&self, deployment: &DeploymentId, claim: &str) -> bool {
        if boot_id().ok().as_ref() != Some(&self.boot_id) {
            return false;
        }
        self.leader_lives()
            || self.members().into_iter().any(|pid| {
                Tags::of(pid).is_some_and(|tags| {
                    tags.deployment == deployment.as_str() && tags.claim == claim
                })
            })
    }

    /// Sends `signal` to the whole group, if it still is there.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.leader_lives() && self.members().is_empty() {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.pid) {
            // It may end between the look and the signal.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Returns once the leader has ended.
    pub(super) async fn leader_ended(&self) {
        while self.leader_lives() {
            ended(self.pid).await;
        }
    }

    /// Returns once no member of the group is left.
    pub(super) async fn group_ended(&self) {
        loop {
            let identity = self.clone();
            let members = tokio::task::spawn_blocking(move || identity.members()).await;
            match members.unwrap_or_default().first() {
                Some(member) => ended(*member).await,
                None => return,
            }
        }
    }
}

/// Returns once process `pid` has ended, or now and then; the caller looks again.
async fn ended(pid: i32) {
    let Some(number) = Pid::from_raw(pid) else {
        return;
    };
    let watched = match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return,
        Err(_) => None,
        Ok(fd) => watched(fd),
    };
    match watched {
        // Its readiness is the end of the process; there is nothing to read.
        Some(fd) if fd.readable().await.is_ok() => {}
        Some(_) | None => tokio::time::sleep(POLL).await,
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that do not own their descriptor"
)]
fn watched(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE).ok()
}

/// A process that carries the tags of our deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tagged {
    /// Its number.
    pub(super) pid: i32,
    /// When it started.
    pub(super) start_time: u64,
    /// Its group.
    pub(super) group: i32,
    /// The claim that it serves.
    pub(super) claim: String,
    pub(super) model: Option<String>,
}

impl Tagged {
    /// Whether it runs.
    pub(super) fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.lives() && stat.start_time == self.start_time)
    }

    /// Sends `signal` to this process alone.
    pub(super) fn signal(&self, signal: Signal) {
        if self.lives()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Every running process of `deployment` whose environment we may read. One without a claim is
/// not ours: an operator may have exported the deployment's name in a shell.
pub(super) fn tagged(deployment: &DeploymentId) -> Vec<Tagged> {
    let this = i32::try_from(std::process::id()).ok();
    processes()
        .filter(|pid| Some(*pid) != this)
        .filter_map(|pid| {
            let tags = Tags::of(pid).filter(|tags| tags.deployment == deployment.as_str())?;
            let stat = Stat::of(pid).filter(Stat::lives)?;
            Some(Tagged {
                pid,
                start_time: stat.start_time,
                group: stat.group,
                claim: tags.claim,
                model: tags.model,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_its_successor_does_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let identity = Identity::of(pid).unwrap();
        assert!(identity.leader_lives());
        let reused = Identity { start_time: identity.start_time + 1, ..identity };
        assert!(!reused.leader_lives());
        assert!(reused.members().is_empty());
    }
}
