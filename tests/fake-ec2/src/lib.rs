//! A small EC2 for tests: the Query protocol over HTTP on a free port of 127.0.0.1.
//!
//! It is faithful where emulators are not: a `ClientToken` makes one instance and refuses other
//! parameters, capacity and quotas run out when a test says so, a new instance is missing from
//! the listing (and unknown by its id) for a while, calls are throttled, answers get lost, and
//! spot instances are taken back. It knows `RunInstances`, `DescribeInstances`,
//! `TerminateInstances`, `DescribeInstanceAttribute` (`userData`), `CreateLaunchTemplate` and
//! `DescribeLaunchTemplates`; nothing runs on its instances. What the cloud does with tokens,
//! capacity and time is [`diogenes_core::testing::FakeCloud`], which the simulation of the fleet
//! stands on too.
//!
//! ```no_run
//! use diogenes_core::testing::Pool;
//! use fake_ec2::FakeEc2;
//!
//! # fn main() -> std::io::Result<()> {
//! let ec2 = FakeEc2::start()?;
//! ec2.exhaust([Pool::of_type("g6.xlarge").with("zone", "us-east-1a")]);
//! println!("an SDK reaches it at {}", ec2.endpoint());
//! # Ok(())
//! # }
//! ```

mod actions;
mod answer;
mod form;
mod server;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use diogenes_core::Timestamp;
use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::{Clock, Exit};
use diogenes_core::testing::{CloudInstance, Lag, Pool};
use tokio::sync::oneshot;

pub use crate::world::Launched;

use crate::world::{World, quota_name};

/// The launch template that a new [`FakeEc2`] has.
pub const LAUNCH_TEMPLATE: &str = "lt-0123456789abcdef0";

/// The subnets that a new [`FakeEc2`] has, each with its availability zone.
pub const SUBNETS: [(&str, &str); 3] = [
    ("subnet-0000000000000000a", "us-east-1a"),
    ("subnet-0000000000000000b", "us-east-1b"),
    ("subnet-0000000000000000c", "us-east-1c"),
];

/// An instance of the fake, whether its listing shows it or not.
pub type Instance = CloudInstance<Launched>;

/// A running fake. It ends when it is dropped.
pub struct FakeEc2 {
    endpoint: String,
    clock: Arc<dyn Clock>,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The machine's clock.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl FakeEc2 {
    /// Starts one on the machine's clock, exact and with capacity everywhere. It serves on a
    /// thread of its own.
    ///
    /// # Errors
    /// When no port or no thread is to be had.
    pub fn start() -> io::Result<Self> {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// The same on another clock, so that a test decides how long a lag lasts.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_clock(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let world = Arc::new(Mutex::new(World::new()));
        let server = server::Server::bind(Arc::clone(&world), Arc::clone(&clock))?;
        let endpoint = server.endpoint();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("fake-ec2".into())
            .spawn(move || server.run(stopped))?;
        Ok(Self { endpoint, clock, world, stop: Some(stop), thread: Some(thread) })
    }

    /// Its URL, for the `endpoint_url` of an SDK.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it lags so much; instances launched before keep their times.
    pub fn set_lag(&self, lag: Lag) {
        self.with(|world| world.cloud.set_lag(lag));
    }

    /// From now on a page of a listing has at most so many instances, as AWS may have fewer
    /// than were asked for.
    pub fn set_page_size(&self, instances: usize) {
        self.with(|world| world.page_size = instances.max(1));
    }

    /// From now on there is no capacity in these places, and there is in all others.
    pub fn exhaust(&self, pools: impl IntoIterator<Item = Pool>) {
        self.with(|world| world.cloud.exhaust(pools.into_iter().collect()));
    }

    /// From now on instances of a class (`g`, `p`; the letters before the generation) on a
    /// market (`spot`, `on_demand`) have at most so many vCPUs together.
    pub fn set_quota(&self, class: &str, market: &str, vcpus: u32) {
        self.with(|world| world.cloud.set_quota(&quota_name(class, market), vcpus));
    }

    /// Has the next so many calls refused with `RequestLimitExceeded`.
    pub fn throttle(&self, calls: usize) {
        self.with(|world| world.throttled = calls);
    }

    /// Does what the next so many calls ask and cuts their connections without an answer.
    pub fn lose_answers(&self, calls: usize) {
        self.with(|world| world.lost = calls);
    }

    /// All instances that there ever were, by age.
    pub fn instances(&self) -> Vec<Instance> {
        self.with(|world| world.cloud.instances().cloned().collect())
    }

    /// The user data of an instance, decoded.
    pub fn user_data(&self, id: &InstanceId) -> Option<Vec<u8>> {
        let encoded = self.with(|world| world.cloud.get(id)?.details.user_data.clone())?;
        BASE64_STANDARD.decode(encoded).ok()
    }

    /// The parameters of every call of `action`, refused ones included, in their order.
    pub fn requests(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let of_action = |form: &&BTreeMap<String, String>| {
            form.get("Action").is_some_and(|name| name == action)
        };
        self.with(|world| world.requests.iter().filter(of_action).cloned().collect())
    }

    /// Takes an instance back as EC2 does with spot instances; its notice is the test's to send.
    pub fn interrupt(&self, id: &InstanceId) {
        self.end(id, Some(Exit::Reclaimed("Server.SpotInstanceTermination".into())));
    }

    /// Ends an instance from within, as `shutdown` does.
    pub fn shut_down(&self, id: &InstanceId) {
        self.end(id, Some(Exit::Code(0)));
    }

    fn end(&self, id: &InstanceId, exit: Option<Exit>) {
        let now = self.clock.now();
        self.with(|world| world.cloud.end(id, exit, now));
    }
}

impl Drop for FakeEc2 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has ended by a panic of its own at worst, which its test has seen.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for FakeEc2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEc2").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
