//! A first request.

use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::{Event, Model};

#[tokio::test]
async fn a_cold_stream_tells_how_far_the_boot_is_and_then_answers() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &Model::mock("demo", &["--load-weights-delay", "1s"])).await;
    let mut stream = admin.chat_stream("demo").await;
    assert_eq!(stream.status, 200);
    let Some(Event::Comment(first)) = stream.next().await else { panic!("no comment first") };
    assert!(first.starts_with("diogenes {") && first.contains("\"phase\":"), "{first}");
    let rest = stream.all().await;
    assert_eq!(rest.last(), Some(&Event::Done), "{rest:?}\n{}", stack.machine_logs());
}
