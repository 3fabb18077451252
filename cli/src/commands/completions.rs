use clap::CommandFactory;
use clap_complete::Shell;

use super::output;
use crate::exit::Failure;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes completions bash > ~/.local/share/bash-completion/completions/diogenes
  diogenes completions zsh > \"${fpath[1]}/_diogenes\"
  diogenes completions fish > ~/.config/fish/completions/diogenes.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "diogenes", &mut script);
    output::piece(&String::from_utf8_lossy(&script))
}
