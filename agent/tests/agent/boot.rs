use diogenes_core::fleet::{BeatStatus, InstanceId, Load, Phase};
use diogenes_core::ports::Clock as _;
use diogenes_core::secret::SecretRef;
use diogenes_core::testing::ManualClock;

use super::machine::{Machine, WAIT, long_request, orders, reason, runs, until};
use super::store::Mood;

fn is_phase(phase: Phase) -> impl Fn(&diogenes_core::fleet::Beat) -> bool {
    move |beat| beat.status == BeatStatus::Booting { phase }
}

#[tokio::test]
async fn a_boot_is_reported_phase_by_phase() {
    let mut machine = Machine::new().await;
    let next = |name: &str| {
        format!("while [ -d \"$DIR\" ] && [ ! -e \"$DIR/{name}\" ]; do sleep 0.01; done\n")
    };
    let script = format!(
        "{}echo 'INFO Starting to load model m...'\n{}echo 'Loading weights took 2 s' >&2\n{WAIT}",
        next("load"),
        next("warm")
    );
    machine.order(&orders(&machine.dir, &script));
    machine.start().await;

    let beat = machine.beat(is_phase(Phase::Image)).await;
    assert_eq!(beat.instance, Some(InstanceId::new("i-0test")));
    assert_eq!((beat.load, beat.log_end), (Load::default(), 0));
    assert_eq!(beat.at, ManualClock::default().now());
    assert_eq!(beat.expires_at, beat.at + std::time::Duration::from_mins(2));

    std::fs::write(machine.path("load"), "").unwrap();
    let beat = machine.beat(is_phase(Phase::Weights)).await;
    assert_eq!(beat.log_tail, ["INFO Starting to load model m..."]);
    assert_eq!(beat.log_end, "INFO Starting to load model m...\n".len() as u64);

    std::fs::write(machine.path("warm"), "").unwrap();
    let beat = machine.beat(is_phase(Phase::Warmup)).await;
    assert_eq!(beat.log_tail.len(), 2);

    machine.mock.refuse_connections(false).await;
    let base_url = machine.mock.base_url();
    machine.beat(|beat| beat.status == BeatStatus::Ready { base_url: base_url.clone() }).await;
    machine.stop().await;
}

#[tokio::test]
async fn the_server_is_told_where_to_listen_and_its_key() {
    let mut machine = Machine::new().await;
    let script = format!("echo \"$0 $1 $HOST $PORT $VLLM_API_KEY $LLAMA_API_KEY\"; {WAIT}");
    let mut orders = orders(&machine.dir, &script);
    orders.engine.command.extend(["{host}:{port}".to_owned(), "{key}".to_owned()]);
    machine.order(&orders);
    machine.start().await;
    let beat = machine.beat(|beat| !beat.log_tail.is_empty()).await;
    let (at, port) = (machine.mock.addr(), machine.mock.addr().port());
    let line = format!("{at} up-secret 127.0.0.1 {port} up-secret up-secret");
    assert_eq!(beat.log_tail, [line]);
    machine.stop().await;
}

/// The ids of an account: user, group, and every group.
fn ids_of(account: &str) -> String {
    let id = |flag: &str| {
        let output = std::process::Command::new("id").args([flag, account]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    format!("{}:{}", id("-u"), id("-g"))
}

#[tokio::test]
async fn the_server_runs_as_the_account_that_is_named() {
    // Only root may become somebody else.
    let own = std::process::Command::new("id").arg("-un").output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap().trim().to_owned();
    let (account, groups) = if own == "root" { ("nobody", "0") } else { (own.as_str(), "") };
    let mut machine = Machine::new().await;
    machine.engine_user = Some(account.to_owned());
    let script = format!("echo \"$(id -u):$(id -g)\"; echo \" $(id -G) \"; {WAIT}");
    machine.order(&orders(&machine.dir, &script));
    machine.start().await;
    let beat = machine.beat(|beat| beat.log_tail.len() == 2).await;
    assert_eq!(beat.log_tail[0], ids_of(account));
    // Not even the groups are left of root.
    assert!(groups.is_empty() || !beat.log_tail[1].contains(&format!(" {groups} ")), "{beat:?}");
    machine.stop().await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_told() {
    let mut machine = Machine::new().await;
    machine.engine_user = Some("diogenes-nobody".to_owned());
    machine.order(&orders(&machine.dir, WAIT));
    machine.start().await;
    assert_eq!(
        machine.unhealthy().await,
        "the inference server could not be started: the user `diogenes-nobody` of \
         `--engine-user` does not exist"
    );
    machine.stop().await;
}

#[tokio::test]
async fn the_servers_secrets_are_read_on_the_instance() {
    let mut machine = Machine::new().await;
    let mut orders = orders(&machine.dir, &format!("echo \"$TOKEN, $KEY\"; {WAIT}"));
    std::fs::write(machine.path("key"), "of a file\n").unwrap();
    let key = SecretRef::File(machine.path("key").to_str().unwrap().into());
    let token = SecretRef::Ssm("/diogenes/test/token".into());
    orders.engine.env.extend([("KEY".into(), key.into()), ("TOKEN".into(), token.into())]);
    machine.order(&orders);
    machine.start().await;
    let beat = machine.beat(|beat| !beat.log_tail.is_empty()).await;
    assert_eq!(beat.log_tail, ["token of eu-central-1, of a file"]);
    machine.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named() {
    let mut machine = Machine::new().await;
    let mut orders = orders(&machine.dir, "echo started >> \"$DIR/starts\"");
    orders.engine.env.insert("TOKEN".into(), SecretRef::Ssm("/other".into()).into());
    machine.order(&orders);
    machine.start().await;
    assert_eq!(
        machine.unhealthy().await,
        "the model cannot run on this instance: its variable `TOKEN` comes from the SSM parameter \
         `/other`, which does not exist"
    );
    assert!(!machine.path("starts").exists());
    machine.stop().await;
}

#[tokio::test]
async fn the_servers_own_metrics_are_the_load() {
    let mut machine = Machine::serving(WAIT, |_| {}).await;
    let request = long_request(machine.mock.addr(), 1000).await;
    machine.beat(|beat| beat.load == Load { running: 1, waiting: 0 }).await;
    drop(request);
    machine.beat(|beat| beat.load == Load::default()).await;
    machine.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_started_says_which_setting_to_mend() {
    let mut machine = Machine::new().await;
    let mut orders = orders(&machine.dir, "");
    orders.engine.command = vec!["/nonexistent/vllm".into()];
    machine.order(&orders);
    machine.start().await;
    assert_eq!(
        machine.unhealthy().await,
        "the model cannot run on this instance: `/nonexistent/vllm` was not found; check `command` \
         of the model"
    );
    machine.pass(std::time::Duration::from_secs(61)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_its_health_check_is_unhealthy_until_it_answers_again() {
    let mut machine = Machine::serving(WAIT, |_| {}).await;
    machine.mock.refuse_connections(true).await;
    let reason = machine.unhealthy().await;
    assert!(reason.starts_with("the health check could not connect: "), "{reason}");
    assert!(reason.ends_with(", 3 times in a row"), "{reason}");
    machine.mock.refuse_connections(false).await;
    machine.beat(|beat| matches!(beat.status, BeatStatus::Ready { .. })).await;
    machine.stop().await;
}

#[tokio::test]
async fn a_server_that_listens_on_another_port_is_given_up_and_told() {
    let mut machine = Machine::new().await;
    let script =
        format!("echo 'Uvicorn running on http://0.0.0.0:1'; echo $$ >\"$DIR/pid\"; {WAIT}");
    machine.order(&orders(&machine.dir, &script));
    machine.start().await;
    let own = machine.mock.addr().port();
    assert_eq!(
        machine.unhealthy().await,
        format!(
            "the inference server listens on port 1 instead of {own} (pass `{{port}}` to its \
             `command`)"
        )
    );
    let pid = machine.file("pid").await;
    until(|| if runs(&pid) { Err("it still runs") } else { Ok(()) }).await;
    machine.pass(std::time::Duration::from_secs(61)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn a_server_that_answers_is_served_by_whatever_its_log_says_of_ports() {
    let script = format!("echo 'Uvicorn running on http://0.0.0.0:1'; {WAIT}");
    let mut machine = Machine::new().await;
    machine.order(&orders(&machine.dir, &script));
    machine.mock.refuse_connections(false).await;
    machine.start().await;
    let is_told = |beat: &diogenes_core::fleet::Beat| !beat.log_tail.is_empty();
    let is_ready = |beat: &_| is_told(beat) && matches!(beat.status, BeatStatus::Ready { .. });
    machine.beat(is_ready).await;
    // Far longer than it is waited for.
    let beats = machine.store.beats().len();
    until(|| Some(()).filter(|()| machine.store.beats().len() >= beats + 10).ok_or("beats")).await;
    assert!(is_ready(&machine.last()), "{:?}", machine.last());
    machine.stop().await;
}

#[tokio::test]
async fn orders_of_0_1_0_are_followed() {
    const ORDERS: &str = include_str!("../../../tests/fixtures/0.1.0/user_data.json");
    let mut machine = Machine::new().await;
    machine.imds.set("user-data", ORDERS);
    machine.start().await;
    assert_eq!(
        machine.unhealthy().await,
        "the model cannot run on this instance: `/opt/of-0.1.0/bin/vllm` was not found; check \
         `command` of the model"
    );
    assert_eq!(machine.last().claim.as_str(), "b89a25185b2569a6bc28e73f33d91b7c");
    machine.stop().await;
}

#[tokio::test]
async fn beats_go_on_when_the_store_comes_back() {
    let mut machine = Machine::serving(WAIT, |_| {}).await;
    for mood in [Mood::Down, Mood::Hanging] {
        machine.store.is(mood);
        machine.mock.refuse_connections(true).await;
        let written = machine.store.beats().len();
        machine.store.is(Mood::Well);
        machine.unhealthy().await;
        machine.mock.refuse_connections(false).await;
        machine.beat(|beat| matches!(beat.status, BeatStatus::Ready { .. })).await;
        assert!(machine.store.beats().len() > written);
    }
    machine.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_started_again_does_not_start_the_server_again() {
    let script = format!("echo started >> \"$DIR/starts\"; {WAIT}");
    let mut machine = Machine::serving(&script, |_| {}).await;
    assert_eq!(machine.file("starts").await, "started");
    machine.stop().await;
    machine.start().await;
    let beat = machine.beat(|beat| matches!(&beat.status, BeatStatus::Unhealthy { reason } if reason.contains("restarted"))).await;
    assert_eq!(reason(&beat), "the agent was restarted; its inference server has ended");
    assert_eq!(machine.file("starts").await, "started");
    machine.pass(std::time::Duration::from_secs(61)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn an_instance_with_ipv6_only_is_found_there() {
    let mut machine = Machine::new().await;
    machine.mock.refuse_connections(false).await;
    machine.imds.remove("meta-data/local-ipv4");
    machine.imds.set("meta-data/ipv6", "2001:db8::1");
    machine.order(&orders(&machine.dir, WAIT));
    machine.start().await;
    let port = machine.mock.addr().port();
    let base_url = format!("http://[2001:db8::1]:{port}");
    machine.beat(|beat| beat.status == BeatStatus::Ready { base_url: base_url.clone() }).await;
    until(|| if machine.last().instance.is_some() { Ok(()) } else { Err("no instance") }).await;
    machine.stop().await;
}
