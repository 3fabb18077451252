use std::path::PathBuf;

use diogenes_core::secret::Secret;
use diogenes_core::tenancy::ProjectId;

use super::output::Format;
use crate::client::{Address, Client, DEFAULT_URL, Key};
use crate::exit::{Failure, Kind};
use crate::serve::{configured_data_dir, default_data_dir, running_url};

/// The query that asks for what is in a project; the key's own without one.
pub(crate) fn in_project(project: Option<&ProjectId>) -> Vec<(&str, &str)> {
    project.iter().map(|project| ("project", project.as_str())).collect()
}

/// What every client command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// The server's URL [default: that of the `serve` that runs with the data directory, else
    /// http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL", env = "DIOGENES_URL")]
    pub(crate) url: Option<Address>,
    /// The API key [default: `admin.key` in the data directory, for a server on this machine]
    #[arg(long, global = true, value_name = "KEY", value_parser = secret, env = "DIOGENES_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<Secret>,
    /// Configuration file of `serve` [default: diogenes.toml in the current directory, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "DIOGENES_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory of `serve` [default: `data_dir` of the configuration file, else
    /// $XDG_DATA_HOME/diogenes]
    #[arg(long, global = true, value_name = "DIR", env = "DIOGENES_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Output format
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
    /// Show the code, request id and causes of an error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// The same options before the command: `diogenes --url … ps`. Clap hands their values down to
/// the commands that have [`Options`], by their ids.
#[derive(Debug, clap::Args)]
pub(crate) struct RootOptions {
    /// Where the server answers (of client commands)
    #[arg(long, value_name = "URL", hide = true)]
    url: Option<Address>,
    /// The API key (of client commands)
    #[arg(long, value_name = "KEY", value_parser = secret, hide = true)]
    api_key: Option<Secret>,
    /// The configuration file of `serve` (of client commands)
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
    /// Where `serve` keeps its data (of client commands)
    #[arg(long, value_name = "DIR", hide = true)]
    data_dir: Option<PathBuf>,
    /// How to print the result (of client commands)
    #[arg(short, long, value_enum, value_name = "FORMAT", hide = true)]
    output: Option<Format>,
    /// Show the code, request id and causes of an error (of client commands)
    #[arg(short, long, hide = true)]
    verbose: bool,
}

impl RootOptions {
    /// Refuses them before a command that does not know them.
    pub(crate) fn refuse(&self, command: &str) -> Result<(), Failure> {
        let given = [
            ("--url", self.url.is_some()),
            ("--api-key", self.api_key.is_some()),
            ("--config", self.config.is_some()),
            ("--data-dir", self.data_dir.is_some()),
            ("--output", self.output.is_some()),
            ("--verbose", self.verbose),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Kind::Config.because(format!(
                "`{name}` cannot be used before `{command}`; see `diogenes {command} --help`"
            ))),
            None => Ok(()),
        }
    }
}

impl Options {
    /// A client of the server that the options name.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let running = match self.url.clone() {
            Some(named) => Some(named),
            None => running_url(&self.data_dir()?),
        };
        let address = match running {
            Some(address) => address,
            None => DEFAULT_URL.parse().map_err(|error: String| Kind::Config.because(error))?,
        };
        self.client_of(address)
    }

    /// A client of the server at `address`, with the key that the options name.
    pub(crate) fn client_of(&self, address: Address) -> Result<Client, Failure> {
        let key = match Key::named(self.api_key.as_ref()) {
            Some(key) => key,
            None => Key::of_data_dir(&address, &self.data_dir()?),
        };
        Client::new(address, key, self.verbose)
    }

    /// The data directory that `serve` would use, with the same options.
    fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(named) = self.data_dir.clone().filter(|path| !path.as_os_str().is_empty()) {
            return Ok(named);
        }
        let configured = configured_data_dir(self.config.as_deref());
        let configured = configured.map_err(Kind::Config.failure())?;
        configured.map_or_else(|| default_data_dir().map_err(Kind::Config.failure()), Ok)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature that clap calls")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        root: RootOptions,
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Ps(Leaf),
        Key(Group),
        Serve,
    }

    #[derive(Debug, clap::Args)]
    struct Leaf {
        #[command(flatten)]
        options: Options,
    }

    #[derive(Debug, clap::Args)]
    struct Group {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        action: Action,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Action {
        List,
    }

    fn parse(text: &str) -> Cli {
        Cli::try_parse_from(text.split(' ')).expect(text)
    }

    #[test]
    fn options_may_stand_before_within_and_behind_the_command() {
        for text in [
            "diogenes --url http://h:1 -o json ps",
            "diogenes ps --url http://h:1 -o json",
            "diogenes --url http://h:1 key -o json list",
            "diogenes key list --url http://h:1 -o json",
            "diogenes --url http://h:1 -o json key list",
            "diogenes -v --data-dir d --url http://h:1 -o json key list",
            "diogenes --config c --url http://h:1 key -o json list",
            "diogenes key list --config c --url http://h:1 -o json",
            "diogenes --data-dir d --url http://h:1 -o json ps -v",
        ] {
            let cli = parse(text);
            let options = match cli.command {
                Command::Ps(leaf) => leaf.options,
                Command::Key(group) => {
                    assert!(matches!(group.action, Action::List));
                    group.options
                }
                Command::Serve => panic!("{text}"),
            };
            assert_eq!(
                options.url.map(|url| url.to_string()).as_deref(),
                Some("http://h:1"),
                "{text}"
            );
            assert_eq!(options.output, Format::Json, "{text}");
            assert_eq!(options.verbose, text.contains("-v"), "{text}");
            assert_eq!(options.data_dir.is_some(), text.contains("data-dir"), "{text}");
            assert_eq!(options.config.is_some(), text.contains("config"), "{text}");
        }
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for option in ["--url http://h", "--config c", "--data-dir d", "-v", "-o json"] {
            let cli = parse(&format!("diogenes {option} serve"));
            assert!(cli.root.refuse("serve").is_err(), "{option}");
        }
        assert!(parse("diogenes serve").root.refuse("serve").is_ok());
    }

    #[test]
    fn a_key_is_not_shown() {
        let cli = parse("diogenes ps --api-key dg_secret");
        assert!(!format!("{cli:?}").contains("dg_secret"));
    }
}
