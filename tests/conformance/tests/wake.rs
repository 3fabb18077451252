//! The ways to wake what looks after the fleet.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use diogenes_conformance::wake::Fixture;
use diogenes_core::ports::{Topic, Wake, WakeError};

/// What was asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Topic>>>);

impl Asked {
    fn note(&self, topic: Topic) {
        self.0.lock().unwrap().push(topic);
    }

    fn all(&self) -> Vec<Topic> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Wake for Asked {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        self.note(topic.clone());
        Ok(())
    }
}

/// The channel to the loop in the same process.
mod channel {
    use std::sync::{Arc, Mutex};

    use diogenes_api::fleet_loop;
    use diogenes_core::ports::Topic;

    use super::{Asked, Fixture};

    async fn channel() -> Fixture {
        let (wake, triggers) = fleet_loop::channel();
        let (orphan, gone) = fleet_loop::channel();
        drop(gone);
        let (triggers, asked) = (Mutex::new(triggers), Asked::default());
        let received = move || {
            let mut triggers = triggers.lock().unwrap();
            std::iter::from_fn(|| triggers.try_recv().ok())
                .for_each(|model| asked.note(Topic::Model(model)));
            asked.all()
        };
        Fixture::new(Arc::new(wake), received, Arc::new(orphan))
    }

    diogenes_conformance::wake_suite!(channel);
}

/// One asker of many over a store, and over one that answers nothing.
mod elected {
    use std::sync::Arc;

    use async_trait::async_trait;
    use diogenes_core::ports::{StateStore, Topic, Wake, WakeError};
    use diogenes_core::testing::{ManualClock, MemoryStore, UnavailableStore};
    use diogenes_core::wake::ElectedWake;

    use super::{Asked, Fixture};

    /// Nobody is there, or there is a fault.
    struct Failing {
        is_gone: bool,
    }

    #[async_trait]
    impl Wake for Failing {
        async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
            let topic = topic.clone();
            Err(if self.is_gone {
                WakeError::NoReceiver { topic, reason: "it has stopped".into() }
            } else {
                WakeError::Transient { topic, source: "not now".into() }
            })
        }
    }

    fn over(store: &Arc<dyn StateStore>, clock: &Arc<ManualClock>) -> Fixture {
        let asked = Asked::default();
        let elected =
            |inner: Arc<dyn Wake>| Arc::new(ElectedWake::new(inner, store.clone(), clock.clone()));
        let wake = elected(Arc::new(asked.clone()));
        let orphan = elected(Arc::new(Failing { is_gone: true }));
        let faulty = elected(Arc::new(Failing { is_gone: false }));
        Fixture::new(wake, move || asked.all(), orphan).or_faulty(faulty)
    }

    async fn with_a_store() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        over(&store, &clock)
    }

    diogenes_conformance::wake_suite!(with_a_store);

    mod without_a_store {
        use std::sync::Arc;

        use super::{Fixture, ManualClock, StateStore, UnavailableStore, over};

        async fn without_a_store() -> Fixture {
            let store: Arc<dyn StateStore> = Arc::new(UnavailableStore);
            over(&store, &Arc::new(ManualClock::default()))
        }

        diogenes_conformance::wake_suite!(without_a_store);
    }
}

/// The invocation of the orchestrator, over a Lambda that is not there.
mod invoked {
    use std::sync::Arc;

    use aws_sdk_lambda::Client;
    use aws_sdk_lambda::config::retry::RetryConfig;
    use aws_sdk_lambda::operation::invoke::InvokeOutput;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use diogenes_backends::aws::lambda::InvokeWake;
    use diogenes_core::ports::Topic;
    use serde_json::{Value, json};

    use super::{Asked, Fixture};

    fn wake(rule: &Rule) -> Arc<InvokeWake> {
        let client = mock_client!(aws_sdk_lambda, RuleMode::MatchAny, [rule], |config| {
            config.retry_config(RetryConfig::disabled())
        });
        Arc::new(InvokeWake::new(client, "orchestrator"))
    }

    fn failing(status: u16, code: &str) -> Arc<InvokeWake> {
        let body = json!({"__type": code, "message": "no"}).to_string();
        let rule = mock!(Client::invoke).sequence().http_status(status, Some(body));
        wake(&rule.repeatedly().build())
    }

    async fn invoked() -> Fixture {
        let asked = Asked::default();
        let sink = asked.clone();
        let rule = mock!(Client::invoke).then_compute_output(move |request| {
            let payload = request.payload().map_or([].as_slice(), AsRef::as_ref);
            let event: Value = serde_json::from_slice(payload).unwrap();
            let model = event.pointer("/reconcile/model").and_then(Value::as_str);
            sink.note(Topic::Model(model.unwrap().parse().unwrap()));
            InvokeOutput::builder().status_code(202).build()
        });
        let orphan = failing(404, "ResourceNotFoundException");
        let faulty = failing(500, "ServiceException");
        Fixture::new(wake(&rule), move || asked.all(), orphan).or_faulty(faulty)
    }

    diogenes_conformance::wake_suite!(invoked);
}
