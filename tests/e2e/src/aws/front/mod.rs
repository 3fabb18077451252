//! A proxy between programs under test and the emulator: it records every call, injects faults,
//! stops calls where a test wants to kill a program, makes EC2 idempotent, and hands calls of
//! Lambda to the test.
//!
//! Callers are told apart by their access key id: give each program one of its own
//! ([`Front::environment`]).

mod answer;
mod call;
mod dynamodb;
mod ec2;
mod fault;
mod gate;
mod invoke;
mod record;
mod rule;
mod s3;
mod schedules;
mod server;
mod upstream;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::wait::eventually;

use super::emulator::Emulator;

pub use self::call::{Part, Resource};
pub use self::fault::Fault;
pub use self::gate::{Gate, HeldCall};
pub use self::invoke::{Invocation, Returned};
pub use self::record::{Calls, Outcome, Recorded};
pub use self::rule::{Rule, RuleBuilder, Then};
pub use self::schedules::Schedule;

use self::server::Desk;

/// The region of the emulated AWS.
pub const REGION: &str = "us-east-1";

/// An AWS endpoint of one test. It ends when it is dropped; the emulator behind it stays, and is
/// shared, so tables and tags need names of their own.
#[derive(Debug)]
pub struct Front {
    endpoint: String,
    desk: Arc<Desk>,
    /// Its own, so that a test that blocks its thread does not block its AWS.
    runtime: Option<Runtime>,
}

impl Front {
    /// Listens on a free port of 127.0.0.1, before this emulator.
    pub async fn start(emulator: &Emulator) -> Self {
        let desk = Arc::new(Desk {
            record: record::Record::default(),
            rules: rule::Rules::default(),
            invocations: invoke::Invocations::default(),
            ec2: ec2::Ec2::new(emulator.kind()),
            schedules: schedules::Schedules::default(),
            upstream: upstream::Upstream::new(emulator.endpoint()),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let served = desk.clone();
        let listening = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            tokio::spawn(server::serve(listener, served));
            address
        });
        let address = listening.await.expect("it listens");
        Self { endpoint: format!("http://{address}"), desk, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The variables that make a program call this endpoint under this name, and nothing else.
    /// A name is an access key id: letters, digits, `-` and `_`.
    pub fn environment(&self, caller: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", caller),
            ("AWS_SECRET_ACCESS_KEY", "not-checked"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// A client of DynamoDB that calls under this name.
    pub fn dynamodb(&self, caller: &str) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(credentials(caller))
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// A client of EC2 that calls under this name.
    pub fn ec2(&self, caller: &str) -> aws_sdk_ec2::Client {
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(credentials(caller))
            .build();
        aws_sdk_ec2::Client::from_conf(config)
    }

    /// A client of Systems Manager that calls under this name.
    pub fn ssm(&self, caller: &str) -> aws_sdk_ssm::Client {
        let config = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(credentials(caller))
            .build();
        aws_sdk_ssm::Client::from_conf(config)
    }

    /// Every call since the start or the last reset.
    pub fn calls(&self) -> Calls {
        self.desk.record.calls()
    }

    /// Waits until the calls satisfy this.
    ///
    /// # Panics
    /// If they do not in time; the text shows the calls.
    pub async fn until(&self, what: &str, enough: impl Fn(Calls) -> bool) -> Calls {
        eventually(what, async || {
            let calls = self.calls();
            if enough(calls.clone()) { Ok(calls) } else { Err(calls) }
        })
        .await
    }

    /// Begins a rule for calls to come. Rules apply in the order in which they are made.
    pub fn rule(&self) -> RuleBuilder<'_> {
        self.desk.rules.builder()
    }

    /// What answers calls of Lambda functions; it runs on the runtime of whoever sets it. An event
    /// is answered with 202 when it returns, so it should queue and not run it.
    pub fn on_invoke<F>(&self, handler: impl Fn(Invocation) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Returned, Fault>> + Send + 'static,
    {
        self.desk.invocations.set(handler);
    }

    /// Makes a bucket of S3.
    ///
    /// # Panics
    /// If the emulator does not.
    pub async fn create_bucket(&self, name: &str) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let made = client.put(format!("{}/{name}", self.desk.upstream.endpoint())).send().await;
        let made = made.expect("an answer");
        assert!(made.status().is_success(), "{}", made.status());
    }

    /// The schedules that stand.
    pub fn schedules(&self) -> Vec<Schedule> {
        self.desk.schedules.list()
    }

    /// Takes all of them out: whoever does invokes their targets.
    pub fn take_schedules(&self) -> Vec<Schedule> {
        self.desk.schedules.take(None)
    }

    /// Lets this happen to each schedule whose time comes, until it is aborted.
    pub fn on_schedule(&self, handler: impl Fn(Schedule) + Send + 'static) -> AbortHandle {
        /// How often they are looked at.
        const EVERY: Duration = Duration::from_millis(200);
        let desk = self.desk.clone();
        let run = async move {
            loop {
                tokio::time::sleep(EVERY).await;
                desk.schedules.take(Some(jiff::Timestamp::now())).into_iter().for_each(&handler);
            }
        };
        tokio::spawn(run).abort_handle()
    }

    /// Forgets the calls so far and ends every rule. Calls that are held go on being held.
    pub fn reset(&self) {
        self.desk.record.forget();
        self.desk.rules.forget();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test may drop it inside its own runtime, which must not block.
            runtime.shutdown_background();
        }
    }
}

fn credentials(caller: &str) -> Credentials {
    Credentials::new(caller, "not-checked", None, None, "test")
}
