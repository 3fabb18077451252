//! How an inference server ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use diogenes_core::ports::Exit;

/// The end of a process that has ended.
pub fn of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // Neither is possible for a process that has ended.
        (None, None) => Exit::Code(-1),
    }
}

/// "the inference server exited with code 1"; only that it ended where nobody knows how.
pub fn reason(exit: Option<&Exit>) -> String {
    let how = exit.map_or_else(|| "ended".to_owned(), Exit::to_string);
    format!("the inference server {how}")
}
