//! What is said about a command line that cannot be read.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory as _, Error};

use crate::commands::output::{self, Format};
use crate::exit::Kind;

/// The whole command line.
pub(crate) fn command() -> Command {
    without_empty_variables(crate::Cli::command())
}

/// The same command, to which a variable that is set to nothing is as good as none.
pub(crate) fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) { arg.env(None) } else { arg }
        })
        .mut_subcommands(without_empty_variables)
}

/// Names the variable that a refused value comes from, where Clap names the flag.
pub(crate) fn blame_variable(error: &mut Error, command: &mut Command, words: &[OsString]) {
    command.build();
    let Some(ContextValue::String(blamed)) = error.get(ContextKind::InvalidArg) else { return };
    let within = innermost(command, words);
    let variable = within
        .get_arguments()
        .find(|arg| arg.to_string() == *blamed && !is_given(arg, words))
        .and_then(|arg| arg.get_env()?.to_str())
        .filter(|variable| std::env::var_os(variable).is_some());
    if let Some(variable) = variable.map(str::to_owned) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
}

/// Whether a flag is among the words.
fn is_given(arg: &Arg, words: &[OsString]) -> bool {
    let Some(long) = arg.get_long().map(|name| format!("--{name}")) else { return true };
    words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").any(|word| {
        word.strip_prefix(&long).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Prints the error, or the help or version that was asked for, and returns the exit code.
pub(crate) fn explain(mut error: Error, mut command: Command, words: &[OsString]) -> ExitCode {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
    let format = wanted_format(words);
    blame_variable(&mut error, &mut command, words);
    if error.use_stderr() && format != Format::Table {
        output::failure(format, &Kind::Config.because(in_one_line(&error)));
        return code;
    }
    if matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) {
        // Clap's own line names every option that has a value, and so those whose variables are
        // set, as if they were required.
        let usage = usage_of(&command, words);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    // With nobody to tell there is nothing to do.
    let _ = error.print();
    code
}

/// The form of the results of a command that was read.
pub(crate) fn format_of(matches: &ArgMatches) -> Format {
    let mut matches = matches;
    while let Some((_, within)) = matches.subcommand() {
        matches = within;
    }
    matches.try_get_one("output").ok().flatten().copied().unwrap_or_default()
}

/// The form that a command line asks for that could not be read as a whole.
fn wanted_format(words: &[OsString]) -> Format {
    let words: Vec<&str> =
        words.iter().map_while(|word| word.to_str()).take_while(|word| *word != "--").collect();
    let behind = |word: &str, next: Option<&str>| match word {
        "-o" | "--output" => next.map(str::to_owned),
        word => ["--output=", "-o=", "-o"]
            .into_iter()
            .find_map(|flag| word.strip_prefix(flag).map(str::to_owned)),
    };
    let mut values =
        words.iter().enumerate().filter_map(|(at, word)| behind(word, words.get(at + 1).copied()));
    match values.next_back().as_deref() {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        _ => Format::Table,
    }
}

/// The usage of the innermost command that the words name.
fn usage_of(root: &Command, words: &[OsString]) -> StyledStr {
    innermost(root, words).clone().render_usage()
}

fn innermost<'a>(root: &'a Command, words: &[OsString]) -> &'a Command {
    let words = words.iter().skip(1).take_while(|word| *word != OsStr::new("--"));
    words.fold(root, |command, word| command.find_subcommand(word).unwrap_or(command))
}

/// Without usage and hints, which are for people.
fn in_one_line(error: &Error) -> String {
    let text = error.render().to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_form_is_found_wherever_it_stands() {
        for (text, format) in [
            ("diogenes ps --nonsense -o json", Format::Json),
            ("diogenes -ojson ps --nonsense", Format::Json),
            ("diogenes ps --output=yaml --nonsense", Format::Yaml),
            ("diogenes ps -o json -o table", Format::Table),
            ("diogenes model apply x -- sh -o json", Format::Table),
            ("diogenes ps -o", Format::Table),
        ] {
            assert_eq!(wanted_format(&words(text)), format, "{text}");
        }
    }

    #[test]
    fn the_usage_is_that_of_the_command_that_was_meant() {
        for (text, usage) in [
            ("diogenes", "diogenes <COMMAND>"),
            ("diogenes -v chat", "diogenes chat [OPTIONS] <MODEL> [PROMPT]..."),
            ("diogenes --url x key create", "diogenes key create [OPTIONS] --email <EMAIL>"),
        ] {
            let mut command = crate::Cli::command();
            command.build();
            let found = usage_of(&command, &words(text)).to_string();
            assert_eq!(found, format!("Usage: {usage}"), "{text}");
        }
    }
}
