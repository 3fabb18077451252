use std::io::{self, IsTerminal, Write};

use crate::exit::{Failure, Kind};

/// Whether somebody at the terminal says yes to `question`. Without a terminal that is refused;
/// `what` is then the subject of the sentence.
pub(super) fn ask(what: &str, question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Kind::Config
            .because(format!("{what} has to be confirmed; without a terminal, use --yes")));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr().lock(), "{question} [y/N] ")
        .and_then(|()| io::stdin().read_line(&mut answer));
    asked.map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("the answer cannot be read"),
    })?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
