use std::collections::BTreeMap;

use aws_sdk_servicequotas::operation::get_service_quota::GetServiceQuotaError;
use aws_sdk_servicequotas::types::ServiceQuota;
use diogenes_backends::aws::placement::{Ec2Placement, Market};
use diogenes_backends::aws::quota::{self, Quota};
use diogenes_core::fleet::{ModelView, Placement};

use super::super::report::Report;
use crate::aws::{Problem, Session};

const NAME: &str = "quota";
const CONCURRENCY_NAME: &str = "executions";
/// Of the service `lambda`: AWS's default is 1000, and new accounts may have 10.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const CONCURRENCY: Quota = Quota { code: "L-B99A9384", name: "Concurrent executions" };
/// As many as a small team's requests and the functions beside them.
const ENOUGH_EXECUTIONS: f64 = 100.0;
/// What a first model most likely runs on.
const USUAL: &str = "g6.xlarge";

/// One rung of a model and what it counts against.
struct Need<'a> {
    model: Option<&'a str>,
    /// The label of the rung.
    kind: String,
    quota: Option<Quota>,
    /// vCPUs of one instance.
    size: u32,
}

/// Reads the quotas that the models' ladders count against. A quota that is too small for a rung
/// is a failure when its model has no other rung, and else a warning.
pub(super) async fn check(session: &Session, views: &[ModelView], report: &mut Report) {
    let needs = needs(views);
    let mut values = BTreeMap::new();
    for quota in needs.iter().filter_map(|need| need.quota) {
        if values.contains_key(&quota) {
            continue;
        }
        match read(session, "ec2", quota).await {
            Ok(value) => {
                values.insert(quota, value);
            }
            Err(problem) => {
                // Whoever may not read quotas can have them all the same.
                let next = format!("{}; or look under Service Quotas in the console", problem.next);
                report.warn(NAME, problem.what, next);
                return;
            }
        }
    }
    judge(&needs, &values, &session.region, report);
    match read(session, "lambda", CONCURRENCY).await {
        Ok(value) => judge_concurrency(value, &session.region, report),
        Err(problem) => report.warn(CONCURRENCY_NAME, problem.what, problem.next),
    }
}

/// Every held or streaming request keeps an execution to itself, and the orchestrator that would
/// make its replica ready needs one too.
fn judge_concurrency(value: f64, region: &str, report: &mut Report) {
    let Quota { code, name } = CONCURRENCY;
    let text = format!("\"{name}\" ({code}) is {value}");
    if value >= ENOUGH_EXECUTIONS {
        report.ok(CONCURRENCY_NAME, text);
        return;
    }
    report.warn(
        CONCURRENCY_NAME,
        format!(
            "{text}: that many concurrent requests, including held ones, leave none for the orchestrator"
        ),
        format!(
            "set `max_held` of the models to 4, or ask for 1000: `aws service-quotas \
             request-service-quota-increase --service-code lambda --quota-code {code} \
             --desired-value 1000 --region {region}`"
        ),
    );
}

fn needs(views: &[ModelView]) -> Vec<Need<'_>> {
    let needs: Vec<_> = views
        .iter()
        .filter(|view| view.model.deleted_at.is_none())
        .flat_map(|view| {
            view.model
                .spec
                .rungs()
                .into_iter()
                .map(|rung| need(Some(view.model.name.as_str()), &rung))
        })
        .collect();
    if !needs.is_empty() {
        return needs;
    }
    [Market::OnDemand, Market::Spot]
        .map(|market| {
            let usual = Ec2Placement { instance_type: USUAL.into(), zone: None, market };
            need(None, &usual.into())
        })
        .into()
}

fn need<'a>(model: Option<&'a str>, rung: &Placement) -> Need<'a> {
    let on_ec2 = Ec2Placement::try_from(rung).ok();
    Need {
        model,
        quota: on_ec2.as_ref().and_then(quota::of),
        size: vcpus(rung.label()).unwrap_or(1),
        kind: rung.label().to_owned(),
    }
}

fn judge(needs: &[Need<'_>], values: &BTreeMap<Quota, f64>, region: &str, report: &mut Report) {
    let fits = |need: &Need<'_>| {
        let value = need.quota.and_then(|quota| values.get(&quota));
        // Nobody knows of a quota that is not known whether it is enough.
        value.is_none_or(|value| *value >= f64::from(need.size))
    };
    for (Quota { code, name }, value) in values {
        let of_quota = || needs.iter().filter(|need| need.quota.is_some_and(|of| of.code == *code));
        let text = format!("\"{name}\" ({code}) is {value} vCPUs");
        let small: Vec<_> = of_quota().filter(|need| !fits(need)).collect();
        let Some(largest) = small.iter().map(|need| need.size).max() else {
            report.ok(NAME, text);
            continue;
        };
        let stuck: Vec<_> = small
            .iter()
            .filter_map(|need| need.model)
            .filter(|model| !needs.iter().any(|other| other.model == Some(*model) && fits(other)))
            .collect();
        let kind = &small.first().map_or(USUAL, |need| need.kind.as_str());
        let next = format!(
            "ask for {largest} or more: `aws service-quotas request-service-quota-increase \
             --service-code ec2 --quota-code {code} --desired-value {largest} --region {region}`"
        );
        match stuck.first() {
            Some(model) => report.fail(
                NAME,
                format!("{text}: model `{model}` can never start, not even on one `{kind}`"),
                next,
            ),
            None => report.warn(NAME, format!("{text}: too few for one `{kind}`"), next),
        }
    }
    for need in needs.iter().filter(|need| need.quota.is_none()) {
        // What is not an EC2 instance type cannot be launched at all.
        let text = format!("the quota that `{}` counts against is unknown", need.kind);
        report.warn(NAME, text, "check that its ladder names an EC2 instance type, and look under Service Quotas in the console");
    }
}

/// The quota as it holds in this account; where the account has none of its own, AWS's default.
async fn read(
    session: &Session,
    service: &str,
    Quota { code, name }: Quota,
) -> Result<f64, Problem> {
    let client = aws_sdk_servicequotas::Client::new(&session.config);
    let applied = client.get_service_quota().service_code(service).quota_code(code).send().await;
    let quota = match applied {
        Ok(answer) => answer.quota,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetServiceQuotaError::is_no_such_resource_exception) =>
        {
            let default =
                client.get_aws_default_service_quota().service_code(service).quota_code(code);
            let action = "servicequotas:GetAWSDefaultServiceQuota";
            let answer = default.send().await;
            answer.map_err(|error| Problem::of_call(action, &session.region, error))?.quota
        }
        Err(error) => {
            let action = "servicequotas:GetServiceQuota";
            return Err(Problem::of_call(action, &session.region, error));
        }
    };
    quota.as_ref().and_then(ServiceQuota::value).ok_or_else(|| {
        Problem::new(
            crate::exit::Kind::Other,
            format!("AWS returned no value for the quota \"{name}\" ({code})"),
            "try again in a moment",
        )
    })
}

/// The vCPUs of an instance type: four for each `x` of `xlarge`, in every family that has GPUs or
/// other accelerators. <https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html>
fn vcpus(instance_type: &str) -> Option<u32> {
    let (_, size) = instance_type.split_once('.')?;
    match size.strip_suffix("xlarge")? {
        "" => Some(4),
        count => count.parse::<u32>().ok()?.checked_mul(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need<'a>(model: &'a str, instance_type: &str, market: Market) -> Need<'a> {
        super::need(Some(model), &Placement::new(instance_type).with("market", market.as_str()))
    }

    fn judged(needs: &[Need<'_>], values: &[f64]) -> String {
        let quotas: BTreeMap<_, f64> =
            needs.iter().filter_map(|need| need.quota).zip(values.iter().copied()).collect();
        let mut report = Report::default();
        judge(needs, &quotas, "us-east-1", &mut report);
        report.to_string()
    }

    #[test]
    fn the_vcpus_are_in_the_name() {
        for (name, vcpus) in [
            ("g6.xlarge", Some(4)),
            ("g6e.12xlarge", Some(48)),
            ("p5.48xlarge", Some(192)),
            ("g4dn.metal", None),
            ("local", None),
        ] {
            assert_eq!(super::vcpus(name), vcpus, "{name}");
        }
    }

    #[test]
    fn a_quota_that_stops_a_model_is_a_failure_and_one_with_a_way_around_it_a_warning() {
        let both =
            [need("m", "g6.2xlarge", Market::Spot), need("m", "g6.2xlarge", Market::OnDemand)];
        let text = judged(&both, &[8.0, 8.0]);
        assert!(!text.contains('!') && !text.contains('✗'), "{text}");
        let text = judged(&both, &[8.0, 0.0]);
        assert!(
            text.contains("! quota  \"Running On-Demand G and VT instances\" (L-DB2E81BA) is 0"),
            "{text}"
        );
        assert!(text.contains("--desired-value 8 "), "{text}");
        assert!(!text.contains('✗'), "{text}");
        let text = judged(&both, &[4.0, 0.0]);
        assert_eq!(text.matches("model `m` can never start").count(), 2, "{text}");
    }

    #[test]
    fn an_unknown_type_is_told() {
        let text = judged(&[need("m", "local", Market::OnDemand)], &[]);
        assert!(text.contains("the quota that `local` counts against is unknown"), "{text}");
    }
}
