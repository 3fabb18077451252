//! Forms with files, which API Gateway hands to the function in Base64.

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::{Event, EventStream};

use crate::fast;

const PATH: &str = "/v1/audio/transcriptions";

#[tokio::test]
async fn a_file_comes_whole_through_api_gateway_up_to_its_limit() {
    let Some(stack) = Stack::start().await else { return };
    stack.apply(&stack.admin().await, &fast("demo")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let file: Vec<u8> = (0..=255_u8).cycle().take(4_400_000).collect();
    let sum: u64 = file.iter().map(|byte| u64::from(*byte)).sum();
    let heard = format!("4400000 bytes with the sum {sum} in en.");
    let answer = client.send(client.form(PATH, &[("model", "demo")], ("file", &file))).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), stack.machine_logs());
    assert!(answer.text().contains(&heard), "{}", answer.text());
    let fields = [("response_format", "text"), ("model", "demo")];
    let answer = client.send(client.form(PATH, &fields, ("file", &file))).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.text().ends_with(&format!("{heard}\n")), "{}", answer.text());
    let fields = [("model", "demo"), ("stream", "true")];
    let streamed = client.form(PATH, &fields, ("file", &file)).send().await.unwrap();
    let events = EventStream::new(streamed).all().await;
    assert_eq!(events.last(), Some(&Event::Done), "{events:?}");

    let large = client.form(PATH, &[("model", "demo")], ("file", &vec![0; 4_800_000]));
    let refused = client.send(large).await;
    assert_eq!(refused.refusal(), (413, "body_too_large".into()), "{}", refused.text());
    assert!(refused.text().contains("4.5 MB"), "{}", refused.text());
}
