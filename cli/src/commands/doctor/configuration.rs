use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::config_file;
use super::report::Report;
use crate::serve::{Config, ServeArgs};
use crate::usage;

const NAME: &str = "configuration";

/// Reads the configuration as `serve` would, environment included.
pub(super) fn check(
    file: Option<&Path>,
    data_dir: Option<&Path>,
    report: &mut Report,
) -> Option<Config> {
    let found = config_file(file);
    match load(file, data_dir) {
        Ok(config) => {
            let models = match config.models.len() {
                1 => "1 model".to_owned(),
                models => format!("{models} models"),
            };
            report.ok(
                NAME,
                match found {
                    Some(file) => format!("{}, {models}", file.display()),
                    None => {
                        "no diogenes.toml here; using defaults and models registered over the API"
                            .to_owned()
                    }
                },
            );
            Some(config)
        }
        Err(error) => {
            report.fail(
                NAME,
                format!("{error:#}"),
                "fix it; `diogenes serve` will not start with it",
            );
            None
        }
    }
}

fn load(file: Option<&Path>, data_dir: Option<&Path>) -> anyhow::Result<Config> {
    let mut words = vec![OsString::from("serve")];
    for (flag, path) in [("--config", file), ("--data-dir", data_dir)] {
        if let Some(path) = path {
            words.extend([OsString::from(flag), path.as_os_str().to_owned()]);
        }
    }
    let command = ServeArgs::augment_args(Command::new("serve"));
    let mut command = usage::without_empty_variables(command);
    let matches = command.clone().try_get_matches_from(&words);
    let args = matches.and_then(|matches| ServeArgs::from_arg_matches(&matches)).map_err(
        |mut error| {
            usage::blame_variable(&mut error, &mut command, &words);
            // Clap's text is for a command line; here only the environment can be wrong.
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            anyhow::anyhow!("{}", first.trim_start_matches("error: ").to_owned())
        },
    )?;
    Config::load(&args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_a_failure_and_a_whole_one_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("d.toml");
        std::fs::write(&file, "lisen = 1").expect("written");
        let mut report = Report::default();
        assert!(check(Some(&file), None, &mut report).is_none());
        assert_eq!(report.failures(), 1);
        std::fs::write(&file, "listen = \"127.0.0.1:9\"").expect("written");
        let config = check(Some(&file), Some(dir.path()), &mut report).expect("valid");
        assert_eq!(config.data_dir, dir.path());
        assert_eq!(report.failures(), 1);
    }
}
