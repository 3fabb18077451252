//! The promises of [`ComputeBackend`].

pub mod describing;
pub mod launching;
pub mod terminating;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diogenes_core::fleet::{ClaimId, Engine, InstanceId, LaunchToken, Placement};
use diogenes_core::ports::{ComputeBackend, Instance, InstanceState, LaunchRequest};
use diogenes_core::secret::Secret;

/// How long a state is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

/// Expands to one test per check of [`compute`](crate::compute).
///
/// The argument names an `async fn() -> Fixture` in the calling module; every test gets a
/// fixture of its own.
#[macro_export]
macro_rules! compute_suite {
    ($make:ident) => {
        $crate::checks! { $make, compute,
            launching {
                launched_instance_is_described_with_its_tags,
                repeated_launch_is_the_same_instance,
                concurrent_launches_with_one_token_are_one_instance,
                two_claims_get_two_instances,
                token_of_an_ended_instance_is_spent,
                token_of_a_terminated_instance_is_spent,
            }
            describing {
                nothing_is_described_at_first,
                ended_instance_does_not_run,
                launch_of_an_exact_backend_is_described_at_once,
            }
            terminating {
                terminated_instance_ends,
                terminate_may_be_repeated,
                unknown_instance_succeeds,
                ended_instance_succeeds,
                other_instances_run_on,
            }
        }
    };
}

/// Ends the instance with this id, as if its inference server had exited.
type End = Box<dyn Fn(&InstanceId) + Send + Sync>;

/// A backend for one check.
pub struct Fixture {
    compute: Arc<dyn ComputeBackend>,
    engine: Engine,
    rung: Placement,
    end: End,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A backend without instances, an engine that runs on it until `end` is called, and what
    /// the two stand on, which is kept until the check ends.
    pub fn new(
        compute: Arc<dyn ComputeBackend>,
        engine: Engine,
        end: impl Fn(&InstanceId) + Send + Sync + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self {
            compute,
            engine,
            rung: Placement::local(),
            end: Box::new(end),
            _keep: Box::new(keep),
        }
    }

    /// Launches on `rung` in place of [`Placement::local`].
    #[must_use]
    pub fn on(self, rung: Placement) -> Self {
        Self { rung, ..self }
    }

    fn request(&self, claim: &str) -> LaunchRequest {
        LaunchRequest {
            token: LaunchToken::new(format!("{claim}-token")),
            claim: ClaimId::new(claim),
            model: "org/model".parse().unwrap(),
            engine: self.engine.clone(),
            rung: self.rung.clone(),
            upstream_key: Secret::new("up-conformance"),
            lifetime: None,
        }
    }

    async fn launch(&self, claim: &str) -> InstanceId {
        self.compute.launch(&self.request(claim)).await.unwrap()
    }

    async fn of_claim(&self, claim: &str) -> Vec<Instance> {
        let claim = Some(ClaimId::new(claim));
        let mut all = self.compute.describe().await.unwrap();
        all.retain(|instance| instance.claim == claim);
        all
    }

    /// Waits until the instances of `claim` are as they should be.
    async fn until(&self, claim: &str, fits: impl Fn(&[Instance]) -> bool) -> Vec<Instance> {
        let deadline = Instant::now() + DEADLINE + self.compute.settle_time();
        loop {
            let last = self.of_claim(claim).await;
            if fits(&last) {
                return last;
            }
            assert!(Instant::now() < deadline, "last seen of `{claim}`: {last:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_running(&self, claim: &str) -> Instance {
        let seen = self
            .until(claim, |seen| seen.iter().any(|one| one.state == InstanceState::Running))
            .await;
        seen[0].clone()
    }

    async fn until_ended(&self, claim: &str) {
        self.until(claim, |seen| seen.iter().all(has_ended)).await;
    }
}

fn has_ended(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Terminated { .. })
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    /// A check that no suite names would never run.
    #[test]
    fn every_check_is_in_the_suite() {
        let (_, suite) = include_str!("compute.rs").split_once("compute_suite").unwrap();
        for (area, source) in [
            ("launching", include_str!("compute/launching.rs")),
            ("describing", include_str!("compute/describing.rs")),
            ("terminating", include_str!("compute/terminating.rs")),
        ] {
            let (_, listed) = suite.split_once(&format!("{area} {{")).unwrap();
            let (listed, _) = listed.split_once('}').unwrap();
            let listed: Vec<_> = listed.split(',').map(str::trim).collect();
            for line in source.lines() {
                let Some(rest) = line.strip_prefix("pub async fn ") else {
                    continue;
                };
                let (name, _) = rest.split_once('(').unwrap();
                assert!(listed.contains(&name), "{area}::{name} is in no suite");
            }
        }
    }
}
