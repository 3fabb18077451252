use diogenes_core::fleet::{DeploymentId, ModelSpec, Order, Registry, Source};
use diogenes_core::ports::StateStore as _;
use diogenes_core::testing::{
    CountingWake, FakeCompute, ManualClock, MemoryStore, Patient, SeededEntropy, unreadable_model,
};

use super::*;
use crate::metrics::Metrics;
use crate::proxy::testing::eventually;

/// A loop over the models `m0`, `m1` and `m2`, and what is around it.
struct World {
    store: Arc<MemoryStore>,
    wake: Arc<dyn Wake>,
    registry: Registry,
    dispatcher: Arc<Dispatcher>,
    fleet: FleetLoop,
}

fn name(number: usize) -> ModelName {
    format!("m{number}").parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let (wake, triggers) = channel();
        let wake: Arc<dyn Wake> = Arc::new(wake);
        // The loop is to find the models by itself, not by triggers.
        let silent = Arc::new(CountingWake::default());
        let registry = Registry::new(store.clone(), clock.clone(), silent);
        for number in 0..3 {
            let spec = ModelSpec::new(["vllm", "{port}"]);
            registry.apply(&name(number), spec, Source::Api).await.unwrap();
        }
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Arc::new(Dispatcher::new(metrics, clock.clone(), wake.clone()));
        let reconciler = Reconciler {
            store: store.clone(),
            compute: Arc::new(FakeCompute::new(clock.clone(), Duration::ZERO)),
            demand: dispatcher.clone(),
            clock: clock.clone(),
            timer: Arc::new(Patient),
            entropy: Arc::new(SeededEntropy::new(7)),
            deployment: DeploymentId::new("test"),
            router_lag: Duration::ZERO,
            launch_patience: Duration::ZERO,
            agents: None,
        };
        let fleet = FleetLoop { reconciler, dispatcher: dispatcher.clone(), clock, triggers };
        Self { store, wake, registry, dispatcher, fleet }
    }
}

/// Makes the record of a model unreadable.
async fn damage(store: &MemoryStore, number: usize) {
    store.commit(&[unreadable_model(&name(number))]).await.unwrap();
}

#[tokio::test]
async fn a_model_that_cannot_be_reconciled_keeps_no_other_from_being_published() {
    let World { store, wake, registry, dispatcher, fleet } = World::new().await;
    damage(&store, 0).await;
    let (started, has_started) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(fleet.run(started, stopped));
    has_started.await.unwrap();
    let published = || -> Vec<String> {
        dispatcher.views().iter().map(|view| view.model.name.to_string()).collect()
    };
    assert_eq!(published(), ["m1", "m2"]);

    // One that fails later stands as it stood, and what comes after it goes on.
    damage(&store, 1).await;
    registry.order(&name(2), Order::Pin).await.unwrap();
    for number in [1, 2] {
        wake.wake(&Topic::Model(name(number))).await.unwrap();
    }
    let is_pinned = || dispatcher.view_of(&name(2)).is_some_and(|view| view.control.pinned);
    eventually("it is pinned", async || is_pinned().then_some(())).await;
    assert_eq!(published(), ["m1", "m2"]);
    drop(stop);
    running.await.unwrap();
}
