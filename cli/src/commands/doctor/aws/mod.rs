//! A deployment on AWS, looked at with the operator's own credentials.

mod agents;
mod api;
mod quotas;
mod stack;
mod table;

use super::report::Report;
use crate::aws::{DeployedTable, DeploymentArgs, Problem, Session};
use crate::commands::options::Options;
use crate::exit::Failure;

/// Goes from region and credentials to the API, as far as each step allows the next.
pub(super) async fn check(
    deployment: &DeploymentArgs,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    if deployment.flag().is_some() {
        deployment.check()?;
    }
    let session = match Session::open(deployment.region.as_deref()).await {
        Ok(session) => session,
        Err(problem) => {
            report.problem("credentials", problem);
            return Ok(());
        }
    };
    match session.identity().await {
        Ok(identity) => report.ok(
            "credentials",
            format!(
                "{} in `{}`",
                identity.arn().unwrap_or("an identity without a name"),
                session.region
            ),
        ),
        Err(problem) => {
            report.problem("credentials", problem);
            return Ok(());
        }
    }
    // A table alone is a deployment without a stack, as emulators have it.
    let stack = match &deployment.table {
        Some(_) => None,
        None => stack::check(&session, deployment.stack.as_deref(), report).await,
    };
    let name = deployment.table.as_deref().or_else(|| stack.as_ref()?.output("TableName").ok());
    let views = match name {
        Some(name) => table::check(&DeployedTable::new(&session, name), report).await,
        None => None,
    };
    // Without a list of models the quotas that most models need are looked at.
    quotas::check(&session, views.as_deref().unwrap_or_default(), report).await;
    if let (Some(name), Some(views)) = (name, &views) {
        agents::check(&DeployedTable::new(&session, name), views, report).await;
    }
    api::check(stack.as_ref(), options, report).await
}

impl Report {
    fn problem(&mut self, name: &str, problem: Problem) {
        self.fail(name, problem.what, problem.next);
    }
}
