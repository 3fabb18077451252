use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::deadman::Shutdown;

/// What the agent is told by its command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file in place of the instance's user data.
    pub user_data: Option<PathBuf>,
    /// The address that the inference server listens on; every one of the instance when none.
    pub host: Option<IpAddr>,
    /// The port that it listens on.
    pub port: u16,
    /// The account that runs the inference server; the agent's own when none.
    pub engine_user: Option<String>,
    /// How the instance is ended.
    pub shutdown: Shutdown,
    /// From when the maximum lifetime counts.
    pub lifetime_from: LifetimeFrom,
    /// A directory that is kept until the next boot and no longer. With it a restarted agent
    /// knows that its predecessor has started the inference server already.
    pub runtime_dir: Option<PathBuf>,
    /// How often everything happens.
    pub pace: Pace,
}

/// From when the maximum lifetime of an instance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LifetimeFrom {
    /// The boot of the machine, so that a restarted agent does not begin anew.
    Boot,
    /// The start of the agent, for a machine that is not the instance's own.
    Start,
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two beats while the instance does not serve.
    pub beat: Duration,
    /// Between two beats of a ready instance.
    pub beat_ready: Duration,
    /// Between two health checks of a booting server.
    pub check_boot: Duration,
    /// Between two health checks of a ready server, and two looks at its metrics.
    pub check_ready: Duration,
    /// Between two questions for a spot notice.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>
    /// recommends 5 s.
    pub notice: Duration,
    /// Between two reads of the lease; a quarter of the lease's timeout where that is less.
    pub lease: Duration,
    /// How long one call of the store may take, and one answer of the inference server.
    pub patience: Duration,
    /// How long the inference server may take to end by itself.
    pub kill_grace: Duration,
    /// How long an instance whose server has ended lives on, so that the fleet can read why.
    pub after_end: Duration,
    /// Between two looks of the dead-man switch at its clock.
    pub tick: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(5),
            beat_ready: Duration::from_secs(10),
            check_boot: Duration::from_millis(250),
            check_ready: Duration::from_secs(5),
            notice: Duration::from_secs(5),
            lease: Duration::from_secs(20),
            patience: Duration::from_secs(5),
            kill_grace: Duration::from_secs(30),
            after_end: Duration::from_mins(2),
            tick: Duration::from_secs(1),
        }
    }
}
