//! Faults by rule.

use std::time::{Duration, Instant};

use aws_sdk_ec2::config::retry::RetryConfig;
use diogenes_e2e::aws::front::{Fault, Outcome};

use crate::dynamodb::{put_new, table, text};
use crate::{code, front};

#[tokio::test]
async fn the_nth_call_of_a_caller_is_denied() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    let rule = front.rule().by("router").action("PutItem").nth(2).fail(Fault::denied());
    put_new(&client, &table, "A").await.unwrap();
    assert_eq!(put_new(&client, &table, "B").await.unwrap_err(), "AccessDeniedException");
    put_new(&client, &table, "B").await.unwrap();
    assert_eq!(rule.hits(), 1);
    let denied = Outcome::Injected("AccessDeniedException".to_owned());
    assert_eq!(front.calls().that(|call| call.outcome == denied).count(), 1);
}

#[tokio::test]
async fn throttling_is_retried_by_the_sdk() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    front.rule().to("dynamodb").action("PutItem").first(2).fail(Fault::throttled());
    put_new(&client, &table, "A").await.unwrap();
    assert_eq!(front.calls().action("PutItem").count(), 3);
    let throttled = Outcome::Injected("ProvisionedThroughputExceededException".to_owned());
    assert_eq!(front.calls().that(|call| call.outcome == throttled).count(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_done_and_a_refused_call_is_not() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    // The SDK tries again and finds what it wrote itself.
    front.rule().on_key("LOST").nth(1).lose_answer();
    let lost = put_new(&client, &table, "LOST").await;
    assert_eq!(lost.unwrap_err(), "ConditionalCheckFailedException");
    front.rule().on_key("REFUSED").nth(1).refuse();
    put_new(&client, &table, "REFUSED").await.unwrap();

    let outcomes = |key: &str| -> Vec<_> {
        front.calls().on_key(key).iter().map(|call| call.outcome.clone()).collect()
    };
    assert_eq!(outcomes("LOST")[0], Outcome::Lost);
    assert_eq!(outcomes("REFUSED")[0], Outcome::Refused);
    assert_eq!(outcomes("LOST").len() + outcomes("REFUSED").len(), 4);
}

#[tokio::test]
async fn a_delay_delays_and_a_removed_rule_does_nothing() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    let delay = Duration::from_millis(300);
    let rule = front.rule().action("GetItem").delay(delay);
    let get = async || {
        let began = Instant::now();
        let get = client.get_item().table_name(&table).key("pk", text("A")).key("sk", text("x"));
        get.send().await.unwrap();
        began.elapsed()
    };
    assert!(get().await >= delay);
    rule.remove();
    get().await;
    assert_eq!(rule.hits(), 1);
}

#[tokio::test]
async fn ec2_says_its_own_errors() {
    let Some(front) = front().await else { return };
    let client = front.ec2("orchestrator");
    let once = aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled());
    for (fault, expected) in [
        (Fault::no_capacity(), "InsufficientInstanceCapacity"),
        (Fault::over_quota(), "VcpuLimitExceeded"),
        (Fault::denied(), "UnauthorizedOperation"),
        (Fault::throttled(), "RequestLimitExceeded"),
        (Fault::new("SpotMaxPriceTooLow", "too low"), "SpotMaxPriceTooLow"),
    ] {
        let rule = front
            .rule()
            .to("ec2")
            .action("RunInstances")
            .parameter("InstanceType", "g5.xlarge")
            .fail(fault);
        let launch = client.run_instances().min_count(1).max_count(1).image_id("ami-12345678");
        let launch = launch.instance_type(aws_sdk_ec2::types::InstanceType::G5Xlarge);
        let launched = launch.customize().config_override(once.clone()).send().await;
        assert_eq!(code(launched), expected);
        assert_eq!(rule.hits(), 1);
        rule.remove();
    }
}
