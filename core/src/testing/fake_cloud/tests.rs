use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn order(token: &str, parameters: &str) -> Order<()> {
    Order {
        token: Some(token.to_owned()),
        fingerprint: parameters.to_owned(),
        place: Placement::new("g6.xlarge").with("zone", "a").with("market", "spot"),
        quota: ("g".into(), 4),
        details: (),
    }
}

#[test]
fn token_makes_one_instance_with_one_set_of_parameters() {
    let mut cloud = FakeCloud::new(Lag::default());
    let id = cloud.launch(order("t", "p"), NOW).unwrap().id.clone();
    assert_eq!(cloud.launch(order("t", "p"), NOW).unwrap().id, id);
    let other = cloud.launch(order("t", "q"), NOW).map(|one| one.id.clone());
    assert_eq!(other, Err(Refusal::ParameterMismatch));
    cloud.end(&id, None, NOW);
    let ended = cloud.launch(order("t", "p"), NOW).map(|one| one.id.clone());
    assert_eq!(ended, Err(Refusal::InstanceTerminated));
    assert_ne!(cloud.launch(order("u", "p"), NOW).unwrap().id, id);
}

#[test]
fn refusal_spends_no_token() {
    let mut cloud = FakeCloud::new(Lag::default());
    cloud.exhaust(vec![Pool::of_type("g6.xlarge").with("zone", "a").with("market", "spot")]);
    let refused = cloud.launch(order("t", "p"), NOW).map(|one| one.id.clone());
    assert_eq!(refused, Err(Refusal::NoCapacity));
    cloud.exhaust(vec![Pool::of_type("g6.xlarge").with("zone", "b"), Pool::of_type("p5.48xlarge")]);
    assert!(cloud.launch(order("t", "q"), NOW).is_ok());
}

#[test]
fn quota_counts_what_lives() {
    let mut cloud = FakeCloud::new(Lag::default());
    cloud.set_quota("g", 4);
    let id = cloud.launch(order("t", "p"), NOW).unwrap().id.clone();
    let refused = cloud.launch(order("u", "p"), NOW).map(|one| one.id.clone());
    assert_eq!(refused, Err(Refusal::QuotaExceeded { limit: 4, used: 4 }));
    cloud.end(&id, None, NOW);
    assert!(cloud.launch(order("u", "p"), NOW).is_ok());
}

#[test]
fn listing_tells_late_of_a_beginning_and_of_an_end() {
    let second = Duration::from_secs(1);
    let lag = Lag { listing: 10 * second, ending: 5 * second, shutdown: 20 * second };
    let mut cloud = FakeCloud::new(lag);
    let id = cloud.launch(order("t", "p"), NOW).unwrap().id.clone();
    cloud.end(&id, None, after(30));
    let shown = |seconds| cloud.get(&id).unwrap().shown(after(seconds));
    for (seconds, expected) in [
        (9, Shown::Hidden),
        (10, Shown::Running),
        (34, Shown::Running),
        (35, Shown::ShuttingDown),
        (54, Shown::ShuttingDown),
        (55, Shown::Terminated),
        (55 + 3_599, Shown::Terminated),
        (55 + 3_600, Shown::Hidden),
    ] {
        assert_eq!(shown(seconds), expected, "after {seconds} s");
    }
}
