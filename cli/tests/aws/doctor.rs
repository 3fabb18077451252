use diogenes_backends::system::SystemClock;
use diogenes_core::Timestamp;
use diogenes_core::entity::Entity;
use diogenes_core::fleet::{
    Beat, BeatStatus, Load, Model, ModelSpec, Phase, PhaseTimes, Placement, Slot, Source,
};
use diogenes_core::ports::{Clock, Expect};
use serde_json::json;

use crate::fake::Aws;
use crate::program::{Run, diogenes, operator};

const DOCTOR: [&str; 4] = ["doctor", "--aws", "-o", "json"];

fn doctor(aws: &Aws) -> Run {
    diogenes(&DOCTOR, &operator(&aws.url()))
}

fn model() -> Model {
    let now = SystemClock.now();
    let mut spec = ModelSpec::new(["vllm", "serve", "qwen"]);
    spec.ladder = ["spot", "on_demand"]
        .map(|market| Placement::new("g6.2xlarge").with("market", market))
        .into();
    Model {
        name: "qwen".parse().unwrap(),
        spec,
        source: Source::Api,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}

/// A slot that was claimed then.
fn slot(model: &Model, claimed_at: Timestamp) -> Slot {
    serde_json::from_value(json!({
        "model": model.name, "index": 0, "claim": "claim-1", "claimed_at": claimed_at,
        "launch": {
            "engine": model.spec.engine(), "spec": model.spec.hash(), "ladder": model.spec.ladder,
            "rung": 0, "tried": 1, "attempt": 0, "upstream_key": "k",
        },
        "phases": PhaseTimes::default(),
        "state": {"is": "booting", "instance": "i-1", "launched_at": claimed_at, "phase": "boot"},
    }))
    .unwrap()
}

fn beat(slot: &Slot, at: Timestamp, status: BeatStatus) -> Beat {
    Beat {
        claim: slot.claim.clone(),
        instance: slot.instance().cloned(),
        status,
        load: Load::default(),
        log_tail: Vec::new(),
        log_end: 0,
        at,
        expires_at: Timestamp::MAX,
    }
}

fn minutes_ago(minutes: i64) -> Timestamp {
    SystemClock
        .now()
        .checked_sub(std::time::Duration::from_secs(60 * minutes.unsigned_abs()))
        .unwrap()
}

#[test]
fn a_deployment_that_is_well_has_only_good_marks() {
    let aws = Aws::start();
    let model = model();
    let slot = slot(&model, minutes_ago(1));
    let weights = BeatStatus::Booting { phase: Phase::Weights };
    aws.put(&[
        model.put(Expect::Any).unwrap(),
        slot.put(Expect::Any).unwrap(),
        beat(&slot, SystemClock.now(), weights).put(Expect::Any).unwrap(),
    ]);
    let run = doctor(&aws);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["ok"], true);
    for (name, text) in [
        ("credentials", "arn:aws:iam::123456789012:user/ada in `eu-west-1`"),
        ("stack", "`diogenes` is CREATE_COMPLETE"),
        ("table", "`the-table` has its keys"),
        ("models", "qwen"),
        ("quota", "is 8 vCPUs"),
        ("executions", "\"Concurrent executions\" (L-B99A9384) is 1000"),
        ("agents", "from `qwen` slot 0: booting, in phase `weights`"),
        ("api", "/prod/healthz answers"),
    ] {
        let check = run.check(name);
        assert_eq!(check["status"], "ok", "{check}");
        assert!(check["detail"].as_str().unwrap().contains(text), "{check}");
    }
}

#[test]
fn without_region_or_credentials_nothing_else_is_looked_at() {
    let aws = Aws::start();
    let url = aws.url();
    for (left_out, text) in
        [("AWS_REGION", "no AWS region"), ("AWS_ACCESS_KEY_ID", "no AWS credentials")]
    {
        let environment: Vec<_> =
            operator(&url).into_iter().filter(|(name, _)| *name != left_out).collect();
        let run = diogenes(&DOCTOR, &environment);
        assert_eq!(run.code, 8, "{run:?}");
        let check = run.check("credentials");
        assert!(check["detail"].as_str().unwrap().contains(text), "{check}");
        assert!(!check["next"].as_str().unwrap().is_empty(), "{check}");
        assert_eq!(run.json()["checks"].as_array().unwrap().len(), 1, "{run:?}");
    }
    aws.fail("GetCallerIdentity", 403, "ExpiredToken");
    let check = doctor(&aws).check("credentials");
    assert_eq!(check["detail"], "your AWS credentials have expired");
}

/// What breaks, the check that shows it, its status, and words of its text.
fn finds(breaks: impl FnOnce(&Aws), name: &str, status: &str, text: &str) {
    let aws = Aws::start();
    breaks(&aws);
    let run = doctor(&aws);
    let check = run.check(name);
    assert_eq!(check["status"], status, "{text}: {run:?}");
    assert!(check["detail"].as_str().unwrap().contains(text), "{text}: {check}");
    assert!(!check["next"].as_str().unwrap().is_empty(), "{check}");
    assert_eq!(run.code, if status == "failed" { 8 } else { 0 }, "{run:?}");
}

#[test]
fn a_stack_that_is_missing_broken_or_busy_is_told() {
    finds(|aws| aws.account().stack_status = None, "stack", "failed", "does not exist in");
    let set = |status| move |aws: &Aws| aws.account().stack_status = Some(status);
    finds(set("ROLLBACK_COMPLETE"), "stack", "failed", "ROLLBACK_COMPLETE");
    finds(set("UPDATE_ROLLBACK_COMPLETE"), "stack", "warning", "was rolled back");
    finds(set("UPDATE_IN_PROGRESS"), "stack", "warning", "UPDATE_IN_PROGRESS");
    let forget = |aws: &Aws| drop(aws.account().outputs.remove("LaunchTemplateId"));
    finds(forget, "stack", "failed", "lacks the outputs LaunchTemplateId");
    let deny = |aws: &Aws| aws.fail("DescribeStacks", 403, "AccessDenied");
    finds(deny, "stack", "failed", "AWS denied `cloudformation:DescribeStacks`");
}

#[test]
fn a_table_that_is_missing_or_has_another_shape_is_told() {
    let rename = |aws: &Aws| drop(aws.account().outputs.insert("TableName", "gone".into()));
    finds(rename, "table", "failed", "table `gone` does not exist");
    let no_index = |aws: &Aws| aws.account().table["GlobalSecondaryIndexes"] = json!([]);
    finds(no_index, "table", "failed", "has no index named `index`");
    let no_ttl = |aws: &Aws| aws.account().time_to_live = json!({"TimeToLiveStatus": "DISABLED"});
    finds(no_ttl, "table", "failed", "does not delete expired items");
    let deny = |aws: &Aws| aws.fail("DescribeTable", 400, "AccessDeniedException");
    finds(deny, "table", "failed", "`dynamodb:DescribeTable`");
}

#[test]
fn quotas_that_are_too_small_or_unreadable_are_told() {
    let no_spot = |aws: &Aws| {
        aws.put(&[model().put(Expect::Any).unwrap()]);
        aws.account().quotas.insert("L-3819A6DF", 4.0);
    };
    finds(no_spot, "quota", "warning", "(L-3819A6DF) is 4 vCPUs: too few for one `g6.2xlarge`");
    let nothing = |aws: &Aws| {
        aws.put(&[model().put(Expect::Any).unwrap()]);
        aws.account().quotas.clear();
    };
    finds(nothing, "quota", "failed", "is 0 vCPUs: model `qwen` can never start");
    finds(|aws| aws.account().quotas.clear(), "quota", "warning", "too few for one `g6.xlarge`");
    let new = |aws: &Aws| aws.account().quotas.extend([("L-B99A9384", 10.0)]);
    finds(new, "executions", "warning", "leave none for the orchestrator");
    let deny = |aws: &Aws| aws.fail("GetServiceQuota", 400, "AccessDeniedException");
    finds(deny, "quota", "warning", "AWS denied `servicequotas:GetServiceQuota`");
}

#[test]
fn agents_that_are_silent_are_told() {
    let never = |aws: &Aws| {
        let model = model();
        let slot = slot(&model, minutes_ago(9));
        aws.put(&[model.put(Expect::Any).unwrap(), slot.put(Expect::Any).unwrap()]);
    };
    finds(never, "agents", "warning", "`qwen` slot 0 (i-1) has not reported in the 9 min");
    let no_more = |aws: &Aws| {
        let model = model();
        let slot = slot(&model, minutes_ago(9));
        let status = BeatStatus::Ready { base_url: "http://10.0.0.1:8000".into() };
        let beat = beat(&slot, minutes_ago(5), status);
        let records = [model.put(Expect::Any), slot.put(Expect::Any), beat.put(Expect::Any)];
        aws.put(&records.map(Result::unwrap));
    };
    finds(no_more, "agents", "warning", "last reported 5 min ago");
}

#[test]
fn an_api_that_does_not_answer_well_is_told() {
    let forbid = |aws: &Aws| aws.fail("healthz", 403, "");
    finds(forbid, "api", "failed", "403");
    let nowhere = |aws: &Aws| {
        aws.account().outputs.insert("ControlUrl", "http://127.0.0.1:1/prod".into());
    };
    finds(nowhere, "api", "failed", "no Diogenes answers at http://127.0.0.1:1/prod");
}

#[test]
fn a_table_may_stand_for_the_stack() {
    let aws = Aws::start();
    aws.fail("DescribeStacks", 500, "InternalFailure");
    let url = aws.url();
    let base = format!("{url}/prod");
    let run = diogenes(
        &[&DOCTOR[..], &["--table", "the-table", "--url", &base]].concat(),
        &operator(&url),
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.check("agents")["detail"], "no instances are running");
}
