//! A first request, and many at once.

use std::time::Instant;

use diogenes_core::keys::Scope;
use diogenes_core::wake::ElectedWake;
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Event, Model};

use crate::slow;

#[tokio::test]
async fn a_cold_stream_tells_how_far_the_boot_is_and_then_answers() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &Model::mock("demo", &["--load-weights-delay", "10s"])).await;
    let client = stack.client(&[Scope::Inference]).await;
    let mut stream = client.chat_stream("demo").await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream; charset=utf-8");
    let Some(Event::Comment(first)) = stream.next().await else { panic!("no comment first") };
    assert!(first.starts_with("diogenes {") && first.contains("\"phase\":"), "{first}");
    let rest = stream.all().await;
    let comments = rest.iter().filter_map(|event| match event {
        Event::Comment(text) => Some(text.as_str()),
        Event::Data(_) | Event::Done => None,
    });
    assert!(comments.clone().any(|text| text.contains("\"phase\":\"weights\"")), "{rest:?}");
    let text: String = rest
        .iter()
        .filter_map(|event| match event {
            Event::Data(chunk) => chunk["choices"][0]["delta"]["content"].as_str(),
            Event::Comment(_) | Event::Done => None,
        })
        .collect();
    assert!(!text.is_empty());
    assert_eq!(rest.last(), Some(&Event::Done), "{rest:?}\n{}", stack.machine_logs());
}

#[tokio::test]
async fn a_cold_plain_call_is_held_and_answered_and_the_next_is_warm() {
    let Some(stack) = Stack::start().await else { return };
    stack.apply(&stack.admin().await, &slow("demo")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), stack.machine_logs());
    assert_eq!(answer.json()["object"], "chat.completion");
    let waited: f64 = answer.header("x-diogenes-cold-start-ms").unwrap().parse().unwrap();
    assert!(waited >= 300.0, "{waited}");
    let warm = client.chat("demo").await;
    assert_eq!(warm.status, 200);
    assert_eq!(warm.header("x-diogenes-cold-start-ms"), None);
    let [instance] = &stack.alive().await[..] else { panic!("{:?}", stack.instances().await) };
    assert_eq!(instance.instance_type, "g6.xlarge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_64_first_requests_launches_one_instance() {
    // Longer than a busy machine takes for any launch.
    let settings =
        StackSettings::default().variable(ORCHESTRATOR, "DIOGENES_LAUNCH_PATIENCE", "5m");
    let Some(stack) = Stack::with(settings).await else { return };
    stack.apply(&stack.admin().await, &slow("demo").line("max_replicas = 1")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let began = Instant::now();
    let calls: Vec<_> = (0..64)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    let answer = client.chat("demo").await;
                    (answer.status.as_u16(), answer.text())
                } else {
                    let events = client.chat_stream("demo").await.all().await;
                    let status = if events.last() == Some(&Event::Done) { 200 } else { 599 };
                    (status, format!("{events:?}"))
                }
            })
        })
        .collect();
    for call in calls {
        let (status, text) = call.await.unwrap();
        assert_eq!(status, 200, "{text}\n{}", stack.machine_logs());
    }
    let launches = stack.front.calls().by(ORCHESTRATOR).action("RunInstances");
    assert_eq!(launches.count(), 1, "{launches:?}");
    // They ask when they come, and again every two seconds; one a term is let through.
    let most = 1 + began.elapsed().as_millis() / ElectedWake::TERM.as_millis();
    let invoked = stack.front.calls().by("RouterFunction").action("Invoke").count();
    assert!((1..=most).contains(&(invoked as u128)), "{invoked}, at most {most}");
    assert_eq!(stack.instances().await.len(), 1);
}
