//! Launching an instance, and finding those of an earlier `serve` again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::{LaunchError, LaunchRequest};

use super::Shared;
use super::identity::{Identity, Tagged, tagged};
use super::record::{RunRecord, names_a_file};
use super::spawn::{fixed_port, free_port, invalid, spawn, transient};
use super::table::{Answer, Entry, id_of, lock};

/// How long the record of an instance that has ended is kept when nobody asks for its removal,
/// because no slot knows it.
const FORGOTTEN: Duration = Duration::from_hours(24);

impl Shared {
    /// Launches an instance; for a thread that may block, within a runtime. It runs to its end
    /// whatever becomes of the caller.
    pub(super) fn launch(
        self: &Arc<Self>,
        request: &LaunchRequest,
    ) -> Result<InstanceId, LaunchError> {
        let _one_at_a_time = lock(&self.launching);
        let ports = {
            let table = lock(&self.table);
            if let Answer::Known(id) = table.answer(request)? {
                return Ok(id);
            }
            table.ports()
        };
        if !names_a_file(&request.claim) {
            return Err(invalid("its claim is not a file name"));
        }
        let port = match request.engine.port {
            Some(port) => fixed_port(self.settings.host, port, &ports)?,
            None => free_port(self.settings.host, &ports)
                .map_err(|error| transient("no port is free", error))?,
        };
        let log = self
            .logs
            .create(&request.model, &request.claim)
            .map_err(|error| transient("its log could not be opened", error))?;
        let mut record = RunRecord {
            claim: request.claim.clone(),
            model: request.model.clone(),
            token: request.token.clone(),
            host: self.settings.host,
            port,
            health_path: request.engine.health_path.clone(),
            upstream_key: request.upstream_key.clone(),
            launched_at: self.clock.now(),
            process: None,
            exit: None,
            ended_at: None,
        };
        self.run
            .write(&record)
            .map_err(|error| transient("its run record could not be written", error))?;
        // Known before it runs, so that nobody takes it for an orphan.
        lock(&self.table).insert(Entry::new(record.clone()));
        let address = SocketAddr::new(self.settings.host, port);
        let spawned =
            spawn(request, &self.settings.deployment, address, log).and_then(|mut child| {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                // It is not waited for yet, so that it is there even if it has ended already.
                let identity =
                    pid.ok_or_else(|| io::ErrorKind::NotFound.into()).and_then(Identity::of);
                match identity {
                    Ok(identity) => Ok((child, identity)),
                    Err(error) => {
                        // What cannot be identified could never be ended. It has hardly begun.
                        let _ = child.start_kill();
                        Err(transient("the process could not be identified", error))
                    }
                }
            });
        let (child, identity) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                self.unlaunch(&record);
                return Err(error);
            }
        };
        record.process = Some(identity.clone());
        if let Err(error) = self.run.write(&record) {
            tracing::warn!(
                claim = %record.claim, error = &error as &dyn std::error::Error,
                "the process id was not recorded; after a crash its tags will tell"
            );
        }
        tracing::info!(
            model = %record.model, claim = %record.claim, pid = identity.pid, port,
            "started process {} of `{}` on port {port}", identity.pid, record.model
        );
        self.supervise(record, identity, Some(child));
        self.prune_logs(request);
        Ok(id_of(&request.claim))
    }

    /// Takes back what was prepared for a spawn that failed; its token is not spent.
    fn unlaunch(&self, record: &RunRecord) {
        lock(&self.table).instances.remove(&id_of(&record.claim));
        let log = self.logs.path_of(&record.model, &record.claim);
        let empty = log.metadata().is_ok_and(|found| found.len() == 0);
        let removed = self
            .run
            .remove(&record.claim)
            .and_then(|()| if empty { std::fs::remove_file(log) } else { Ok(()) });
        if let Err(error) = removed {
            tracing::warn!(
                claim = %record.claim, error = &error as &dyn std::error::Error,
                "the traces of a failed launch could not be removed"
            );
        }
    }

    fn prune_logs(&self, request: &LaunchRequest) {
        let live = lock(&self.table).live();
        if let Err(error) = self.logs.prune(&request.model, &live) {
            tracing::warn!(
                model = %request.model, error = &error as &dyn std::error::Error,
                "old logs of `{}` could not be removed", request.model
            );
        }
    }

    /// Takes up the instances that the records of an earlier `serve` tell of.
    pub(super) fn recover(self: &Arc<Self>) -> io::Result<()> {
        let records = self.run.read_all()?;
        let processes = self.processes_of(&records);
        for mut record in records {
            let claim = record.claim.clone();
            if record.ended_at.is_none() && record.process.is_none() {
                // It was cut short between the spawn and its record, or before the spawn.
                record.process = leader_of(&processes, claim.as_str());
                self.run.write(&record)?;
            }
            let living = record.process.clone().filter(|process| {
                record.ended_at.is_none()
                    && process.group_is_still(&self.settings.deployment, claim.as_str())
            });
            if living.is_none() && record.ended_at.is_none() {
                record.ended_at = Some(self.clock.now());
                self.run.write(&record)?;
            }
            lock(&self.table).insert(Entry::new(record.clone()));
            match living {
                Some(identity) => {
                    tracing::info!(
                        model = %record.model, claim = %claim, pid = identity.pid,
                        "process {} of `{}` still runs", identity.pid, record.model
                    );
                    self.supervise(record, identity, None);
                }
                None if processes.iter().any(|one| one.claim == claim.as_str()) => {
                    self.sweep(&claim);
                }
                None => {}
            }
        }
        self.find_orphans();
        self.forget_the_old();
        Ok(())
    }

    /// The processes of this deployment. A child that was forked and has not yet executed its
    /// program shows no tag, and it goes on when a kill ends its parent in between: while a record
    /// lacks its process, it is given time to appear.
    fn processes_of(&self, records: &[RunRecord]) -> Vec<Tagged> {
        const FORK_TO_EXEC: Duration = Duration::from_millis(300);
        let began = std::time::Instant::now();
        loop {
            let processes = tagged(&self.settings.deployment);
            let waits = records.iter().any(|record| {
                record.ended_at.is_none()
                    && record.process.is_none()
                    && processes.iter().all(|process| process.claim != record.claim.as_str())
            });
            if !waits || began.elapsed() >= FORK_TO_EXEC {
                return processes;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Drops the records of instances that ended long ago and that nobody asked for since.
    pub(super) fn forget_the_old(&self) {
        let now = self.clock.now();
        let old: Vec<_> = {
            let mut table = lock(&self.table);
            let old: Vec<_> = table
                .instances
                .values()
                .filter(|entry| {
                    entry.record.ended_at.is_some_and(|ended| {
                        Duration::try_from(now.duration_since(ended))
                            .is_ok_and(|age| age > FORGOTTEN)
                    })
                })
                .map(|entry| entry.record.claim.clone())
                .collect();
            for claim in &old {
                table.forget(&id_of(claim));
            }
            old
        };
        for claim in old {
            self.remove_record(&claim);
        }
    }
}

/// The leader of the group of a claim's processes: one that leads, else the number of a group
/// whose leader has ended.
fn leader_of(processes: &[Tagged], claim: &str) -> Option<Identity> {
    let of_claim = || processes.iter().filter(|process| process.claim == claim);
    let leader = of_claim()
        .filter(|process| process.pid == process.group)
        .min_by_key(|process| process.start_time);
    match leader {
        Some(leader) => Identity::of(leader.pid).ok(),
        None => of_claim().find_map(|member| Identity::of_ended_leader(member.group).ok()),
    }
}
