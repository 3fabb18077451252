//! The whole system on an emulated AWS: the API, functions and schedule of `template.yaml`, a
//! table, a launch template, and instances whose real agents run the mock inference server.

mod imds;
mod machine;
mod machines;
mod settings;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_ec2::types::{InstanceStateName, InstanceType, RequestLaunchTemplateData};
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::system::{OsEntropy, SystemClock};
use diogenes_core::keys::{Keys, NewKey, Scope, Weight};
use diogenes_core::ports::Limits;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::config::Model;
use crate::programs::function;
use crate::wait::eventually;

use super::emulator::Emulator;
use super::front::{Fault, Front, Returned};
use super::lambda::{ACCOUNT, Gateway, LambdaHost, REGION, Template, Values};

pub use self::settings::StackSettings;

use self::machine::Machine;
use self::machines::Machines;

/// The function that looks after the fleet.
pub const ORCHESTRATOR: &str = "OrchestratorFunction";

/// The function that answers for files, batches and jobs.
pub const BATCHES: &str = "BatchesFunction";

/// The function that works on batches and evals.
pub const JOBS: &str = "JobsFunction";

/// The function that imports and exports datasets.
pub const TRANSFERS: &str = "TransfersFunction";

/// The function that works on `http` jobs and webhooks.
pub const OUTBOUND: &str = "OutboundFunction";

/// The parameter with the templates of jobs that the roles of tests are read with.
pub const TEMPLATES: &str = "/diogenes/of-tests/job-templates";

/// The caller whose calls are those of instances, as the front records them.
pub const INSTANCE: &str = "Instance";

/// The image of the launch template; emulators know it.
const IMAGE: &str = "ami-12345678";

/// A deployed stack. Everything that runs for it ends when it is dropped; its table stays as long
/// as the emulator.
#[derive(Debug)]
pub struct Stack {
    /// The API.
    pub gateway: Gateway,
    /// The functions, by their logical ids. Callers in [`Stack::front`] go by the same names.
    pub host: LambdaHost,
    /// Its AWS.
    pub front: Front,
    /// The template, resolved.
    pub template: Template,
    machines: Machines,
    table: String,
    deployment: String,
    schedule: Option<AbortHandle>,
    scheduler: AbortHandle,
}

/// An instance as EC2 lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    /// Such as `g6.xlarge`.
    pub instance_type: String,
    /// Such as `running`.
    pub state: String,
    /// The availability zone.
    pub zone: String,
}

impl Listed {
    /// Whether it is paid for.
    pub fn is_alive(&self) -> bool {
        ["pending", "running"].contains(&self.state.as_str())
    }
}

impl Stack {
    /// Deploys a stack whose schedule runs when the test says so ([`Stack::tick`]); none where
    /// the tests of AWS are left out.
    pub async fn start() -> Option<Self> {
        Self::with(StackSettings::default()).await
    }

    /// The same with other settings.
    pub async fn with(settings: StackSettings) -> Option<Self> {
        if super::skipped() {
            return None;
        }
        Some(Self::deploy(Emulator::shared().await, &settings).await)
    }

    /// Deploys a stack on this emulator.
    pub async fn deploy(emulator: &Emulator, settings: &StackSettings) -> Self {
        let front = Front::start(emulator).await;
        let (table, deployment, bucket) = (unique("table"), unique("stack"), unique("files"));
        let path = project().join("template.yaml");
        let text = std::fs::read_to_string(&path).expect("the template");
        let resources = serde_saphyr::from_str(&text).expect("the template is YAML");
        table::create(&front.dynamodb("cloudformation"), &table, &resources).await;
        front.create_bucket(&bucket).await;
        let values = values(&front, settings, &table, &deployment).await;
        let values = values.reference("Files", &bucket);
        let template = Template::read(&path, &values);
        let template = template.expect("the template is understood");
        let functions = template.functions.values().map(|each| {
            let run = each.run(function(&each.binary)).with("AWS_ENDPOINT_URL", front.endpoint());
            settings.change(run)
        });
        let host = LambdaHost::start(functions);
        let gateway = Gateway::from_template(&template, &host, settings.overrides);
        let gateway = gateway.expect("an API");
        let machines = Machines::start(&front, &deployment, INSTANCE);
        let invoked = host.clone();
        front.on_invoke(move |invocation| {
            let queued = invoked.invoke_async(&invocation.function, invocation.payload);
            let answer = queued.map(|()| Returned::default());
            let missing = |error| Fault::new("ResourceNotFoundException", &format!("{error:?}"));
            async move { answer.map_err(missing) }
        });
        let functions = host.clone();
        let scheduler = front.on_schedule(move |schedule| {
            let _ = functions.invoke_async(&schedule.target, schedule.input);
        });
        let mut stack = Self {
            gateway,
            host,
            front,
            template,
            machines,
            table,
            deployment,
            schedule: None,
            scheduler,
        };
        if let Some(every) = settings.schedule {
            let (host, event) = (stack.host.clone(), stack.scheduled_event(ORCHESTRATOR));
            let run = async move {
                loop {
                    let _ = host.invoke(ORCHESTRATOR, event.clone()).await;
                    tokio::time::sleep(every).await;
                }
            };
            stack.schedule = Some(tokio::spawn(run).abort_handle());
        }
        stack
    }

    /// The name of its table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Its name, which every instance carries as a tag.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// Its records, for what no call of the API writes.
    pub fn store(&self) -> Arc<DynamoStore> {
        let client = self.front.dynamodb("operator");
        Arc::new(DynamoStore::new(client, self.table.clone(), Arc::new(SystemClock)))
    }

    /// A client with a new key, written to the table as the first key of a stack is.
    pub async fn client(&self, scopes: &[Scope]) -> Client {
        Client::new(&self.gateway.base_url(), &self.key(scopes).await)
    }

    /// A client that may everything.
    pub async fn admin(&self) -> Client {
        self.client(&Scope::ALL).await
    }

    /// A new key.
    pub async fn key(&self, scopes: &[Scope]) -> String {
        let keys = Keys::new(self.store(), Arc::new(SystemClock), Arc::new(OsEntropy));
        let new = NewKey {
            project: diogenes_core::tenancy::ProjectId::default(),
            email: "owner@example.com".into(),
            name: "test".into(),
            scopes: scopes.iter().copied().collect::<BTreeSet<_>>(),
            models: None,
            expires_at: None,
            limits: Limits::default(),
            egress: false,
            weight: Weight::default(),
        };
        keys.issue(&diogenes_core::tenancy::Allowed::operator(), new)
            .await
            .expect("a key")
            .1
            .expose()
            .to_owned()
    }

    /// Applies a model that runs on one `g6.xlarge`, unless it has a ladder of its own.
    pub async fn apply(&self, client: &Client, model: &Model) {
        self.apply_spec(client, model.name(), model.spec()).await;
    }

    /// The same with what the control plane takes for a model.
    pub async fn apply_spec(&self, client: &Client, name: &str, mut spec: Value) {
        if spec.get("ladder").is_none() {
            spec["ladder"] = json!([{"instance_type": "g6.xlarge", "market": "spot"}]);
        }
        let answer = client.put(&format!("/api/v1/models/{name}"), &spec).await;
        assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
    }

    /// Runs the orchestrator as the schedule does, to its end.
    pub async fn tick(&self) -> Result<(), String> {
        let ran = self.host.invoke(ORCHESTRATOR, self.scheduled_event(ORCHESTRATOR)).await;
        ran.map(|_| ()).map_err(|error| format!("{error:?}"))
    }

    /// Lets the time of every one-time schedule come; how many there were.
    ///
    /// # Panics
    /// If one invokes what is not there.
    pub fn run_schedules(&self) -> usize {
        let schedules = self.front.take_schedules();
        let count = schedules.len();
        for schedule in schedules {
            self.host.invoke_async(&schedule.target, schedule.input).expect("its function");
        }
        count
    }

    /// Lets the schedule run until the condition holds.
    pub async fn ticks_until<T, S: std::fmt::Debug>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T, S>,
    ) -> T {
        eventually(what, async || {
            let ran = self.tick().await;
            look().await.map_err(|seen| (ran, seen))
        })
        .await
    }

    /// The instances that EC2 lists for this stack, ended ones too.
    pub async fn instances(&self) -> Vec<Listed> {
        let ec2 = self.front.ec2("test");
        let listed = machines::instances(&ec2, &self.deployment).await.expect("a listing");
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let listed = listed.iter().map(|instance| Listed {
            id: text(instance.instance_id()),
            instance_type: text(instance.instance_type().map(InstanceType::as_str)),
            state: text(machines::state(instance).as_ref().map(InstanceStateName::as_str)),
            zone: text(instance.placement().and_then(|placement| placement.availability_zone())),
        });
        listed.collect()
    }

    /// The instances that are paid for.
    pub async fn alive(&self) -> Vec<Listed> {
        let mut instances = self.instances().await;
        instances.retain(Listed::is_alive);
        instances
    }

    /// EC2 wants this instance back: its metadata and EventBridge say so.
    pub fn interrupt(&self, id: &str) {
        self.machine(id).interrupt();
        self.warn_of_interruption(id);
    }

    /// EventBridge says that EC2 wants this instance back, before its agent has heard of it.
    pub fn warn_of_interruption(&self, id: &str) {
        self.event(
            "EC2 Spot Instance Interruption Warning",
            &json!({
                "instance-id": id, "instance-action": "terminate",
            }),
        );
    }

    /// Tells the orchestrator through EventBridge how an instance stands.
    pub fn state_changed(&self, id: &str, state: &str) {
        let detail = json!({"instance-id": id, "state": state});
        self.event("EC2 Instance State-change Notification", &detail);
    }

    /// Kills the agent of this instance, which cannot say a word any more.
    pub fn kill_agent(&self, id: &str) {
        self.machine(id).kill_agent();
    }

    /// Whether the agent of this instance runs.
    pub fn has_agent(&self, id: &str) -> bool {
        self.machines.get(id).is_some_and(|machine| machine.is_alive())
    }

    /// What the machines have said.
    pub fn machine_logs(&self) -> String {
        self.machines.logs()
    }

    fn machine(&self, id: &str) -> Arc<Machine> {
        self.machines.get(id).unwrap_or_else(|| panic!("`{id}` was not booted"))
    }

    /// An event of EventBridge from EC2.
    fn event(&self, kind: &str, detail: &Value) {
        let event = json!({
            "version": "0", "id": "00000000-0000-4000-8000-000000000000",
            "source": "aws.ec2", "detail-type": kind,
            "account": ACCOUNT, "region": REGION,
            "time": "2026-01-01T00:00:00Z", "resources": [], "detail": detail,
        });
        self.host.invoke_async(ORCHESTRATOR, event.to_string()).expect("the event is queued");
    }

    /// What the schedule of this function sends.
    pub fn scheduled_event(&self, function: &str) -> String {
        let mut events = self.template.functions[function].events.values();
        let schedule = events.find(|event| event["Type"] == "ScheduleV2").expect("a schedule");
        let input = schedule["Properties"]["Input"].as_str();
        input.expect("the schedule has an input").to_owned()
    }
}

impl Drop for Stack {
    #[expect(clippy::print_stderr, reason = "a failed test shows it, and one that passes does not")]
    fn drop(&mut self) {
        if let Some(schedule) = &self.schedule {
            schedule.abort();
        }
        self.scheduler.abort();
        if std::thread::panicking() {
            eprintln!("== calls");
            for call in &self.front.calls().that(|call| call.caller != "hardware") {
                let keys = &call.resource.leading_keys;
                eprintln!("{} {} {keys:?} {:?}", call.caller, call.action, call.outcome);
            }
            eprintln!("{}", self.machine_logs());
            for name in self.host.names() {
                eprintln!("== {name}\n{}", self.host.logs(name));
            }
            // Where only the end of all this is shown.
            eprintln!("== the last of each");
            for name in self.host.names() {
                let log = self.host.logs(name);
                let last: Vec<_> = log.lines().rev().take(2).collect();
                for line in last.iter().rev() {
                    eprintln!("{name}: {line}");
                }
            }
        }
    }
}

/// The root of the project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A name that no other stack has.
fn unique(of: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What CloudFormation would know of the resources that are not functions.
async fn values(front: &Front, settings: &StackSettings, table: &str, deployment: &str) -> Values {
    let ec2 = front.ec2("cloudformation");
    let data = RequestLaunchTemplateData::builder().image_id(IMAGE);
    let created = ec2
        .create_launch_template()
        .launch_template_name(deployment)
        .launch_template_data(data.build())
        .send()
        .await
        .expect("a launch template");
    let template = created.launch_template().expect("a launch template");
    let version = template.latest_version_number().unwrap_or(1).to_string();
    let subnets = ec2.describe_subnets().send().await.expect("the default subnets");
    let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
    for subnet in subnets.subnets() {
        if let (Some(zone), Some(id)) = (subnet.availability_zone(), subnet.subnet_id()) {
            zones.entry(zone).or_insert(id);
        }
    }
    assert!(zones.len() >= 3, "three zones with a subnet: {zones:?}");
    let mut values = Values::default()
        .reference("AWS::StackName", deployment)
        .reference("Table", table)
        .reference("Schedules", deployment)
        .reference("SchedulesRole.Arn", format!("arn:aws:iam::{ACCOUNT}:role/SchedulesRole"))
        .reference("FailedEvents.Arn", format!("arn:aws:sqs:{REGION}:{ACCOUNT}:FailedEvents"))
        .reference("LaunchTemplate", template.launch_template_id().expect("an id"))
        .reference("LaunchTemplate.LatestVersionNumber", version)
        .parameter("GpuImageId", IMAGE);
    for (letter, (zone, id)) in ["A", "B", "C"].into_iter().zip(zones) {
        let subnet = format!("InstanceSubnet{letter}");
        values =
            values.reference(&format!("{subnet}.AvailabilityZone"), zone).reference(&subnet, id);
    }
    for (name, value) in &settings.parameters {
        values = values.parameter(name, value);
    }
    values
}
