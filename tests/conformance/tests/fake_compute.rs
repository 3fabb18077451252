//! The compute backend in memory that the simulation of the fleet stands on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_conformance::compute::Fixture;
use diogenes_core::fleet::{Engine, InstanceId};
use diogenes_core::ports::Exit;
use diogenes_core::testing::{FakeCompute, ManualClock};

async fn fake() -> Fixture {
    let compute = Arc::new(FakeCompute::new(Arc::new(ManualClock::default()), Duration::ZERO));
    let engine = Engine {
        command: vec!["vllm".into()],
        env: BTreeMap::new(),
        working_dir: None,
        health_path: "/health".into(),
        port: None,
    };
    let end = {
        let compute = Arc::clone(&compute);
        move |id: &InstanceId| compute.end(id, Some(Exit::Code(1)))
    };
    Fixture::new(compute, engine, end, ())
}

diogenes_conformance::compute_suite!(fake);
