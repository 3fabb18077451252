//! Streams that leave a replica before it ends, along a route that recovers them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::DrainReason;
use diogenes_core::gateway::record::AttemptOutcome;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::record_tests::recorded;
use super::recovery_tests::{WHOLE, answer_in_parts, local, replica, reply, said, walked};
use crate::proxy::testing::{Local, Script, Upstream, eventually, model, plain, request};
use crate::proxy::{AnswerStream, Dialect};

const RECLAIMED: (DrainReason, Duration) = (DrainReason::Interrupted, Duration::ZERO);

/// A model whose first replica is in the middle of an answer, and says the rest once it is let.
struct Scene {
    local: Local,
    first: Upstream,
    gate: Arc<Semaphore>,
    stream: AnswerStream,
    begun: String,
}

impl Scene {
    async fn new() -> Self {
        Self::of(local()).await
    }

    async fn of(local: Local) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let script = Script::ReplyInParts(answer_in_parts(4), gate.clone());
        let first = Upstream::start(vec![script]).await;
        local.ready(&[("claim-0", first.address)]);
        let body = json!({
            "model": "assistant", "stream": true, "messages": [{"role": "user", "content": "hi"}],
        });
        let ask = request(Dialect::ChatCompletions, body.to_string());
        let mut stream = walked(&local, ask).await;
        let mut begun = String::new();
        while !begun.contains(" the") {
            begun.push_str(std::str::from_utf8(&stream.next().await.unwrap()).unwrap());
        }
        Self { local, first, gate, stream, begun }
    }

    /// The first replica drains; beside it there are these.
    fn drain(&self, why: (DrainReason, Duration), others: &[(&str, SocketAddr)]) {
        let all = [&[("claim-0", self.first.address)], others].concat();
        self.local.drain(&all, "claim-0", why);
    }

    /// What the caller has got at the end, and the rest of the scene.
    fn read(self) -> (Rest, JoinHandle<String>) {
        let Self { local, first, gate, mut stream, mut begun } = self;
        let all = tokio::spawn(async move {
            while let Some(bytes) = stream.next().await {
                begun.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            begun
        });
        (Rest { local, first, gate }, all)
    }
}

struct Rest {
    local: Local,
    first: Upstream,
    gate: Arc<Semaphore>,
}

impl Rest {
    fn drain(&self, why: (DrainReason, Duration), others: &[(&str, SocketAddr)]) {
        let all = [&[("claim-0", self.first.address)], others].concat();
        self.local.drain(&all, "claim-0", why);
    }

    /// How many requests wait, and how many are on the first replica.
    async fn held_and_running(&self) -> (u32, u32) {
        let demand = self.local.demand().await;
        let of_first = demand.replicas.iter().find(|(claim, _)| claim.as_str() == "claim-0");
        (demand.held, of_first.map_or(0, |(_, replica)| replica.running))
    }
}

fn has_continued(replica: &Upstream) -> bool {
    replica.seen().iter().any(|request| request.contains("continue_final_message"))
}

#[tokio::test]
async fn a_stream_leaves_a_replica_that_is_reclaimed_before_it_ends() {
    let (scene, second) = (Scene::new().await, replica(99).await);
    scene.drain(RECLAIMED, &[("claim-1", second.address)]);
    // The first replica never says another word.
    let (rest, all) = scene.read();
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    assert!(has_continued(&second));
    assert_eq!(rest.local.demand().await.total(), 0);
}

#[tokio::test]
async fn the_record_of_a_stream_that_left_a_replica_says_so() {
    let (local, shelf) = recorded(local());
    let (scene, second) = (Scene::of(local).await, replica(99).await);
    scene.drain(RECLAIMED, &[("claim-1", second.address)]);
    let (_rest, all) = scene.read();
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    let record = shelf.one().await;
    assert!(record.is_handed_over() && !record.is_recovered() && record.error.is_none());
    let told = record.attempts.iter().map(|attempt| (attempt.outcome, attempt.error.as_deref()));
    let expected = [(AttemptOutcome::HandedOver, None), (AttemptOutcome::Answered, None)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_stream_waits_for_another_replica_while_the_reclaimed_one_answers() {
    let (scene, second) = (Scene::new().await, replica(99).await);
    scene.drain(RECLAIMED, &[]);
    let (rest, all) = scene.read();
    let waits = async || (rest.held_and_running().await == (1, 1)).then_some(());
    eventually("it waits, and goes on", waits).await;
    assert!(rest.local.wake.count() > 0);
    rest.drain(RECLAIMED, &[("claim-1", second.address)]);
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    assert!(has_continued(&second));
    assert_eq!(rest.local.demand().await.total(), 0);
}

#[tokio::test]
async fn a_stream_has_half_of_the_drain_timeout_to_end_by_itself() {
    let timeout = Local::spec().drain_timeout;
    for (ago, leaves) in [(timeout / 4, false), (timeout / 2, true)] {
        let (scene, second) = (Scene::new().await, replica(99).await);
        scene.drain((DrainReason::Lifetime, ago), &[("claim-1", second.address)]);
        let (rest, all) = scene.read();
        if leaves {
            let moved = async || (rest.held_and_running().await.1 == 0).then_some(());
            eventually("it leaves", moved).await;
        } else {
            rest.gate.add_permits(1);
        }
        assert_eq!(said(&all.await.unwrap()).0, WHOLE);
        assert_eq!(has_continued(&second), leaves);
    }
}

#[tokio::test]
async fn nobody_is_asked_for_where_the_model_is_to_end() {
    let scene = Scene::new().await;
    let ago = Local::spec().drain_timeout;
    scene.drain((DrainReason::Down, ago), &[]);
    let (rest, all) = scene.read();
    rest.gate.add_permits(1);
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    // Only because it has fallen idle.
    assert!(rest.local.wake.count() <= 1);
}

#[tokio::test]
async fn a_stream_that_nobody_else_continues_stays_where_it_is() {
    let refuses = plain("400 Bad Request", "content-type: application/json\r\n", "{}");
    let busy = plain("503 Service Unavailable", "content-type: application/json\r\n", "{}");
    let html = plain("200 OK", "content-type: text/html\r\n", "<p>");
    for answer in [refuses, busy, html] {
        let (scene, second) = (Scene::new().await, Upstream::answering(&answer).await);
        scene.drain(RECLAIMED, &[("claim-1", second.address)]);
        let (rest, all) = scene.read();
        let asked = async || (!second.seen().is_empty()).then_some(());
        eventually("the other one is asked", asked).await;
        assert_eq!(rest.held_and_running().await.1, 1);
        rest.gate.add_permits(1);
        assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    }
}

#[tokio::test]
async fn a_stream_goes_back_if_the_other_replica_dies_before_it_goes_on() {
    // It begins an answer, and says nothing of it.
    let (scene, second) = (Scene::new().await, replica(0).await);
    scene.drain(RECLAIMED, &[("claim-1", second.address)]);
    let (rest, all) = scene.read();
    eventually("the other one is asked", async || has_continued(&second).then_some(())).await;
    rest.gate.add_permits(1);
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    assert_eq!(rest.local.demand().await.total(), 0);
}

#[tokio::test]
async fn a_stream_goes_back_soon_if_the_other_replica_says_nothing() {
    let second = Upstream::start(vec![Script::ReplyAndHang(reply(0))]).await;
    let scene = Scene::new().await;
    scene.drain(RECLAIMED, &[("claim-1", second.address)]);
    let (rest, all) = scene.read();
    eventually("the other one is asked", async || has_continued(&second).then_some(())).await;
    rest.gate.add_permits(1);
    let asked = Instant::now();
    tokio::time::pause();
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    let silence = asked.elapsed();
    assert!(silence < Duration::from_secs(30), "{silence:?} before it went back");
    assert!(silence < Local::spec().stall_timeout);
}

#[tokio::test]
async fn a_stream_that_stayed_is_recovered_once_it_is_cut() {
    let (scene, second) = (Scene::new().await, replica(0).await);
    scene.drain(RECLAIMED, &[("claim-1", second.address)]);
    let (rest, all) = scene.read();
    eventually("the other one is asked", async || has_continued(&second).then_some(())).await;
    let third = replica(99).await;
    let local = rest.local;
    local.ready(&[("claim-2", third.address)]);
    assert_eq!(said(&all.await.unwrap()).0, WHOLE);
    assert!(has_continued(&third));
    assert_eq!(local.dispatcher.get(model().as_str()).unwrap().metrics.tokens(), (2, 8));
}
