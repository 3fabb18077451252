use std::time::Duration;

use diogenes_core::evals::Standing;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use crate::commands::eval::shown::{text, why};
use crate::exit::{Failure, Kind};

/// A test case per result: failures are failures, what is unmeasured is an error.
pub(super) fn written(report: &Report) -> Result<String, Failure> {
    let run = &report.run;
    let mut suite = TestSuite::new(format!("{} on {}", run.subject.name, run.dataset.name));
    suite.add_property(Property::new("run", run.id.as_str()));
    suite.add_property(Property::new(
        "dataset",
        format!("{}@v{}", run.dataset.name, run.dataset.version),
    ));
    if let Some(verdict) = &run.verdict {
        suite.add_property(Property::new("verdict", verdict.as_str()));
    }
    for result in &report.results {
        let mut status = match result.standing {
            Standing::Passed => TestCaseStatus::success(),
            Standing::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Standing::Unmeasured => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        if result.standing != Standing::Passed {
            status.set_message(why(result));
            status.set_description(format!(
                "input: {}\nexpected: {}\nanswer: {}",
                text(&result.input),
                result.expected_output.as_ref().map(text).unwrap_or_default(),
                result.actual_output.as_deref().unwrap_or_default(),
            ));
        }
        let name = match run.repeats {
            1 => result.example_id.clone(),
            _ => format!("{} #{}", result.example_id, result.repeat + 1),
        };
        let mut case = TestCase::new(name, status);
        case.set_classname(run.subject.name.as_str());
        case.set_time(Duration::from_millis(result.latency_ms));
        suite.add_test_case(case);
    }
    let mut junit = quick_junit::Report::new("diogenes eval");
    junit.add_test_suite(suite);
    junit.to_string().map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("the report cannot be written as JUnit"),
    })
}
