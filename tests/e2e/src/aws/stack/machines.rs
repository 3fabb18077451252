use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Instance, InstanceAttributeName, InstanceStateName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::aws::front::{Front, Then};
use crate::folder::processes_with;

use super::machine::Machine;

/// The variable by which the processes of a stack's machines are found: their folder.
pub(super) const MARK: &str = "DIOGENES_E2E_MACHINES";

/// Between two looks at the instances, beside those that a launch or an end asks for.
const LOOK: Duration = Duration::from_millis(200);

/// The hardware of an emulated EC2: it boots what is launched and ends what is terminated.
#[derive(Debug)]
pub(super) struct Machines {
    room: Arc<Room>,
    attendant: AbortHandle,
}

#[derive(Debug)]
struct Room {
    ec2: Client,
    deployment: String,
    environment: Vec<(String, String)>,
    folder: TempDir,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    poked: Notify,
}

impl Machines {
    /// Attends to the instances of this deployment. Their agents call AWS as `role`.
    pub(super) fn start(front: &Front, deployment: &str, role: &str) -> Self {
        let room = Arc::new(Room {
            ec2: front.ec2("hardware"),
            deployment: deployment.to_owned(),
            environment: front.environment(role),
            folder: TempDir::with_prefix("diogenes-machines-").expect("a temporary directory"),
            machines: Mutex::default(),
            poked: Notify::new(),
        });
        let poked = room.clone();
        let changes = |action: &str| ["RunInstances", "TerminateInstances"].contains(&action);
        front.rule().that(move |call| changes(&call.action)).after(move |_| {
            poked.poked.notify_one();
            async { Then::Proceed }
        });
        let attendant = tokio::spawn(attend(room.clone())).abort_handle();
        Self { room, attendant }
    }

    /// The machine of this instance.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Machine>> {
        self.room.machines().get(id).cloned()
    }

    /// What every machine has said.
    pub(super) fn logs(&self) -> String {
        let machines = self.room.machines();
        let logs = machines
            .iter()
            .flat_map(|(id, machine)| ["== ", id, "\n", &machine.log()].map(str::to_owned));
        logs.collect()
    }
}

impl Room {
    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Machine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Boots what has been launched, ends what has been terminated, terminates what has ended.
    async fn look(&self) -> Result<(), aws_sdk_ec2::Error> {
        for instance in instances(&self.ec2, &self.deployment).await? {
            let (Some(id), Some(state)) = (instance.instance_id(), state(&instance)) else {
                continue;
            };
            let machine = self.machines().get(id).cloned();
            match (machine, state) {
                (None, InstanceStateName::Pending | InstanceStateName::Running) => {
                    let user_data = self.user_data(id).await?;
                    let environment = self.environment.clone();
                    let machine = Machine::boot(id, user_data, self.folder.path(), environment);
                    let machine = Arc::new(machine.await);
                    self.machines().insert(id.to_owned(), machine);
                }
                (Some(machine), InstanceStateName::Pending | InstanceStateName::Running) => {
                    if machine.has_ended_itself() {
                        self.ec2.terminate_instances().instance_ids(id).send().await?;
                        machine.shut_down();
                    }
                }
                (Some(machine), _) => machine.shut_down(),
                (None, _) => {}
            }
        }
        Ok(())
    }

    async fn user_data(&self, id: &str) -> Result<String, aws_sdk_ec2::Error> {
        let attribute = self
            .ec2
            .describe_instance_attribute()
            .instance_id(id)
            .attribute(InstanceAttributeName::UserData)
            .send()
            .await?;
        let text = attribute.user_data().and_then(|data| data.value()).unwrap_or_default();
        let bytes = STANDARD.decode(text).expect("user data in base64");
        Ok(String::from_utf8(bytes).expect("user data in UTF-8"))
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.attendant.abort();
        // Dropping a machine kills its agent; the servers have groups of their own.
        self.room.machines().clear();
        for pid in processes_with(MARK, self.room.folder.path()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn attend(room: Arc<Room>) {
    loop {
        // A test may have told its AWS to fail for everybody.
        let _ = room.look().await;
        let _ = tokio::time::timeout(LOOK, room.poked.notified()).await;
    }
}

/// The instances of a deployment, ended ones too.
pub(super) async fn instances(
    ec2: &Client,
    deployment: &str,
) -> Result<Vec<Instance>, aws_sdk_ec2::Error> {
    let filter = Filter::builder().name("tag:diogenes:deployment").values(deployment).build();
    let mut pages = ec2.describe_instances().filters(filter).into_paginator().send();
    let mut instances = Vec::new();
    while let Some(page) = pages.next().await {
        let reservations = page?.reservations.unwrap_or_default();
        instances.extend(reservations.into_iter().flat_map(|of| of.instances.unwrap_or_default()));
    }
    Ok(instances)
}

pub(super) fn state(instance: &Instance) -> Option<InstanceStateName> {
    instance.state()?.name().cloned()
}
