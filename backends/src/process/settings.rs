use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use diogenes_core::fleet::DeploymentId;

/// Where and how instances run.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The directory of records and logs.
    pub data_dir: PathBuf,
    /// This installation. Two that share the name on one machine take each other's processes
    /// for orphans.
    pub deployment: DeploymentId,
    /// The address that instances listen on.
    pub host: IpAddr,
    /// How long an instance may take to end by itself before it is killed.
    pub kill_grace: Duration,
    /// How often a ready instance is asked for its health.
    pub health_interval: Duration,
}

impl ProcessSettings {
    /// Instances on loopback, 10 s to end, a health check every 5 s.
    pub fn new(data_dir: impl Into<PathBuf>, deployment: DeploymentId) -> Self {
        Self {
            data_dir: data_dir.into(),
            deployment,
            host: Ipv4Addr::LOCALHOST.into(),
            kill_grace: Duration::from_secs(10),
            health_interval: Duration::from_secs(5),
        }
    }
}

/// What becomes of the instances when `serve` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShutdown {
    /// They are ended.
    Stop,
    /// They run on; the next `serve` takes them up.
    Leave,
}

/// Why the backend could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The directory of records and logs is of no use.
    #[error("`{}` cannot be read or written; check its owner and mode", path.display())]
    DataDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It was opened outside a runtime.
    #[error("the process backend needs a tokio runtime")]
    NoRuntime,
}
