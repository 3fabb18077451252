use std::sync::Arc;

use anyhow::Context as _;
use diogenes_api::jobs::HttpJobs;
use diogenes_api::outbound::Outbound;
use diogenes_core::ports::Clock;

use super::JobsConfig;

/// What sends the requests of jobs, with a client of its own.
pub(crate) fn http_jobs(config: &JobsConfig, clock: Arc<dyn Clock>) -> anyhow::Result<HttpJobs> {
    let outbound = Outbound::new(config.outbound.clone());
    let outbound = outbound.context("the client of `http` jobs could not be made")?;
    Ok(HttpJobs::new(outbound, clock))
}
