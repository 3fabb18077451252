use std::time::Duration;

use diogenes_api::control::DeploymentStatusBody;
use diogenes_core::deployments::Status;

use super::args::StatusArgs;
use super::{path, shown};
use crate::client::{Client, decode};
use crate::commands::options::in_project;
use crate::commands::output::{self, Format};
use crate::commands::screen::Screen;
use crate::exit::{Failure, Kind};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows how a deployment stands, and with `--watch` until it has ended.
pub(super) async fn run(client: &Client, args: &StatusArgs, format: Format) -> Result<(), Failure> {
    let (id, query) = (&args.deployment.id, in_project(args.deployment.project.as_ref()));
    let path = path(&[id, "status"]);
    let mut screen = Screen::default();
    let mut last = None;
    loop {
        let value = client.get(&path, &query).await?;
        let status: DeploymentStatusBody = decode(value.clone())?;
        if !args.watch {
            return output::result(format, &value, || Ok(shown::status(&status)));
        }
        let is_over = status.status.is_final();
        if format == Format::Table {
            let frame = shown::status(&status);
            if last.as_ref() != Some(&frame) {
                screen.draw(&frame)?;
                last = Some(frame);
            }
        } else if is_over {
            output::result(format, &value, || Ok(String::new()))?;
        }
        if is_over {
            return judge(&status);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fails unless a deployment that has ended is completed.
fn judge(status: &DeploymentStatusBody) -> Result<(), Failure> {
    let told =
        || format!("deployment `{}` is {}: {}", status.id, status.status, status.status_message);
    match status.status {
        Status::Completed | Status::PendingApproval | Status::PendingGates | Status::InProgress => {
            Ok(())
        }
        Status::RolledBack | Status::GatesFailed => Err(Kind::BelowThreshold.because(told())),
        Status::Cancelled | Status::Failed => Err(Kind::Other.because(told())),
    }
}
