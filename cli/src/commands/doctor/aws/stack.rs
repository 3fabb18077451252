use aws_sdk_cloudformation::types::StackStatus;

use super::super::report::Report;
use crate::aws::{Session, Stack, default_stack};

const NAME: &str = "stack";
/// What the other checks and the operator's commands need of it.
const OUTPUTS: [&str; 3] = ["ControlUrl", "TableName", "LaunchTemplateId"];

/// Reads the stack, and says how its last deployment ended.
pub(super) async fn check(
    session: &Session,
    name: Option<&str>,
    report: &mut Report,
) -> Option<Stack> {
    let name = name.map_or_else(default_stack, str::to_owned);
    let stack = match Stack::read(session, &name).await {
        Ok(stack) => stack,
        Err(problem) => {
            report.problem(NAME, problem);
            return None;
        }
    };
    judge(&stack, report);
    let missing: Vec<_> =
        OUTPUTS.into_iter().filter(|key| !stack.outputs.contains_key(*key)).collect();
    if !missing.is_empty() {
        report.fail(
            NAME,
            format!("`{name}` lacks the outputs {}", missing.join(", ")),
            "use --stack to name a stack of Diogenes, or deploy it again with `make deploy`",
        );
    }
    Some(stack)
}

fn judge(stack: &Stack, report: &mut Report) {
    let Stack { name, status, outputs } = stack;
    let events = format!(
        "see why with `aws cloudformation describe-stack-events --stack-name {name}`, then \
         `make deploy`"
    );
    let text = format!("`{name}` is {}", status.as_str());
    match status {
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::ImportComplete
        | StackStatus::UpdateCompleteCleanupInProgress => {
            let url = outputs.get("Url").map_or("unknown", String::as_str);
            report.ok(NAME, format!("{text}; base URL {url}"));
        }
        // The version before goes on working.
        StackStatus::UpdateRollbackComplete
        | StackStatus::UpdateRollbackCompleteCleanupInProgress
        | StackStatus::ImportRollbackComplete => {
            report.warn(NAME, format!("{text}: the last deployment was rolled back"), events);
        }
        status if status.as_str().ends_with("_IN_PROGRESS") => {
            report.warn(NAME, text, "wait until it has finished");
        }
        _ => report.fail(NAME, text, events),
    }
}
