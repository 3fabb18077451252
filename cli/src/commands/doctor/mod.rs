#[cfg(feature = "aws")]
mod aws;
mod configuration;
mod data_dir;
mod gateway;
mod gpu;
mod models;
mod report;
mod server;
mod telemetry;

use std::path::{Path, PathBuf};

use super::options::Options;
use super::output::{self, Format};
use crate::aws::DeploymentArgs;
use crate::client::Address;
use crate::exit::{Failure, Kind};
use crate::serve::{Config, DEFAULT_FILE, default_data_dir};

use report::Report;

/// Check what keeps Diogenes from working, here or on AWS, and say how to fix it.
///
/// A warning (!) is worth a look; a failure (✗) ends the command with exit code 8.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes doctor
  diogenes doctor --config /etc/diogenes.toml --data-dir /var/lib/diogenes
  diogenes doctor --aws --stack diogenes --region us-east-1
  diogenes doctor -o json | jq '.checks[] | select(.status != \"ok\")'")]
pub(crate) struct DoctorArgs {
    /// Check a deployment on AWS instead, with your AWS credentials: the stack (by default
    /// DIOGENES_STACK, or `diogenes`), its table, GPU quotas, agents and API
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    deployment: DeploymentArgs,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let format = args.options.output;
    let report = if args.aws {
        of_deployment(&args.deployment, &args.options).await?
    } else {
        let flag = args.deployment.flag().or(args.deployment.region.as_ref().map(|_| "--region"));
        if let Some(flag) = flag {
            return Err(Kind::Config.because(format!("`{flag}` requires --aws")));
        }
        of_this_machine(args).await?
    };
    match format {
        Format::Table => output::coloured(&format!("{report}\n"))?,
        Format::Json | Format::Yaml => {
            output::result(format, &report.to_value(), || Ok(String::new()))?;
        }
    }
    match report.failures() {
        0 => Ok(()),
        1 => Err(Kind::Unhealthy.because("1 check failed")),
        failures => Err(Kind::Unhealthy.because(format!("{failures} checks failed"))),
    }
}

async fn of_this_machine(args: DoctorArgs) -> Result<Report, Failure> {
    let mut report = Report::default();
    let options = &args.options;
    let config =
        configuration::check(options.config.as_deref(), options.data_dir.as_deref(), &mut report);
    let data_dir = match &config {
        Some(config) => config.data_dir.clone(),
        None => match &options.data_dir {
            Some(path) => path.clone(),
            None => default_data_dir().map_err(Kind::Config.failure())?,
        },
    };
    let is_running = data_dir::check(&data_dir, &mut report);
    gpu::check(&mut report).await;
    if let Some(telemetry) = config.as_ref().and_then(|config| config.telemetry.as_ref()) {
        telemetry::check(telemetry, &mut report).await;
    }
    let options = Options { data_dir: Some(data_dir), ..args.options };
    let found = server::check(&options, is_running, config.as_ref(), &mut report).await?;
    models::check(config.as_ref(), &found, &mut report);
    Ok(report)
}

#[cfg(feature = "aws")]
async fn of_deployment(deployment: &DeploymentArgs, options: &Options) -> Result<Report, Failure> {
    let mut report = Report::default();
    aws::check(deployment, options, &mut report).await?;
    Ok(report)
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "as with the feature `aws`")]
async fn of_deployment(_: &DeploymentArgs, _: &Options) -> Result<Report, Failure> {
    Err(crate::aws::left_out("--aws"))
}

/// The file that `serve` would read.
fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    let default = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
    named.map(Path::to_owned).or_else(default)
}

/// Where the server of this configuration answers: `0.0.0.0` is asked on loopback.
fn address_of(config: &Config) -> Option<Address> {
    let mut listen = config.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    // A free port is another at every start.
    (listen.port() != 0).then(|| format!("http://{listen}").parse().ok())?
}
