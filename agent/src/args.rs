use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::deadman::Shutdown;
use crate::settings::{LifetimeFrom, Pace, Settings};

const HELP: &str = "Examples:
  diogenes-agent --last-resort
      on an instance, as its unit starts it
  diogenes-agent --user-data orders.json --host 127.0.0.1 --port 8123 \\
      --lifetime-from start --shutdown-command true
      a dry run on any machine: nothing is ever shut down

Exit codes:
  0  it was told to stop (SIGTERM, SIGINT), and has ended the inference server
  1  it could not start
  2  wrong flags
Whatever else goes wrong, it goes on until the instance ends: without orders for 15 minutes,
without a renewed lease for as long as the orders say, or at the instance's maximum age.

Environment:
  AWS_EC2_METADATA_SERVICE_ENDPOINT  the instance metadata service [default: http://169.254.169.254]
  AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL_SSM
                                     DynamoDB and Systems Manager, for emulators
                                     [default: those of the region]
  AWS_ACCESS_KEY_ID, … credentials   [default: the instance's role]
  DIOGENES_LOG                       the log filter: `debug`, `diogenes_agent=debug` … [default: info]";

/// Starts the inference server of a GPU instance, reports on it, and ends the instance when it is
/// no longer wanted.
#[derive(Clone, Debug, Parser)]
#[command(name = "diogenes-agent", version, about, max_term_width = 100, after_help = HELP)]
pub struct Args {
    /// A file with the orders, in place of the instance's user data.
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// The address that the inference server listens on [default: every one of the instance].
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// The port that it listens on.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The account that runs the inference server [default: the agent's own]
    #[arg(long, value_name = "NAME")]
    engine_user: Option<String>,
    /// Command that shuts the instance down; parsed like a shell command line, but run without a shell.
    #[arg(long, value_name = "COMMAND", default_value = "shutdown -h now")]
    #[arg(value_parser = words)]
    shutdown_command: Words,
    /// When that does not help: `systemctl poweroff --force`, then the kernel's own power-off.
    /// Only for a machine that is the instance's own.
    #[arg(long)]
    last_resort: bool,
    /// From when the maximum lifetime counts.
    #[arg(long, value_enum, default_value = "boot")]
    lifetime_from: LifetimeFrom,
    /// A directory that is emptied by a boot and not by a restart of the agent; with it, a
    /// restarted agent does not start the inference server again.
    #[arg(long, value_name = "DIR", env = "RUNTIME_DIRECTORY")]
    runtime_dir: Option<PathBuf>,
}

/// A command line, split.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    match shell_words::split(text) {
        Ok(words) if words.is_empty() => Err("it is empty".into()),
        Ok(words) => Ok(Words(words)),
        Err(error) => Err(error.to_string()),
    }
}

impl Args {
    /// The settings, at the usual pace.
    pub fn settings(self) -> Settings {
        Settings {
            user_data: self.user_data,
            host: self.host,
            port: self.port,
            engine_user: self.engine_user,
            shutdown: Shutdown {
                last_resort: self.last_resort,
                ..Shutdown::new(self.shutdown_command.0)
            },
            lifetime_from: self.lifetime_from,
            runtime_dir: self.runtime_dir,
            pace: Pace::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Settings, String> {
        let flags = ["diogenes-agent"].iter().chain(flags);
        Args::try_parse_from(flags).map(Args::settings).map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_it_does_what_an_instance_needs() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.shutdown.command, ["shutdown", "-h", "now"]);
        assert!(!settings.shutdown.last_resort);
        assert_eq!((settings.port, settings.host), (8000, None));
        assert_eq!(settings.lifetime_from, LifetimeFrom::Boot);
    }

    #[test]
    fn the_shutdown_command_is_split_as_a_shell_splits_it() {
        let settings = parse(&["--shutdown-command", "sh -c 'touch /tmp/x'"]).unwrap();
        assert_eq!(settings.shutdown.command, ["sh", "-c", "touch /tmp/x"]);
        assert!(parse(&["--shutdown-command", " "]).unwrap_err().contains("it is empty"));
        assert!(parse(&["--shutdown-command", "'"]).is_err());
    }
}
