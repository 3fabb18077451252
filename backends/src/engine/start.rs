//! The process of an inference server.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use diogenes_core::fleet::{Engine, Invocation, Secrets};
use diogenes_core::secret::Secret;
use rustix::io::Errno;
use tokio::process::Child;

/// Why an inference server was not started.
#[derive(Debug, thiserror::Error)]
pub enum Unstartable {
    /// What the model asks for cannot run on this machine.
    #[error("{0}")]
    Model(String),
    /// The machine has no room for another process.
    #[error("{0}")]
    NoRoom(&'static str),
    /// The machine refused.
    #[error("the inference server could not be started: {0}")]
    Machine(#[from] io::Error),
}

/// Starts `engine` so that it listens on `address` and asks `key` of its callers: as the leader of
/// a group of its own, so that it and its children are ended together, without standard input.
/// `prepare` says where its output goes, and what else whoever starts it wants of the process.
/// The standard library opens every file close-on-exec and resets the signal mask of a child.
pub fn start(
    engine: &Engine,
    address: SocketAddr,
    key: &Secret,
    secrets: &Secrets,
    prepare: impl FnOnce(&mut Command) -> io::Result<()>,
) -> Result<Child, Unstartable> {
    let Invocation { program, arguments, env } = engine
        .invocation(address, key, secrets)
        .map_err(|error| Unstartable::Model(error.to_string()))?;
    let mut command = Command::new(&program);
    command
        // Most likely the operator's own key.
        .env_remove("DIOGENES_API_KEY")
        .args(arguments)
        .envs(env)
        .stdin(Stdio::null())
        .process_group(0);
    if let Some(dir) = &engine.working_dir {
        if !Path::new(dir).is_dir() {
            return Err(Unstartable::Model(format!(
                "its `working_dir` `{dir}` is not a directory"
            )));
        }
        command.current_dir(dir);
    }
    prepare(&mut command)?;
    tokio::process::Command::from(command).spawn().map_err(|error| explain(&program, error))
}

fn explain(program: &str, error: io::Error) -> Unstartable {
    let of_the_command = |what: &str| {
        Unstartable::Model(format!("`{program}` {what}; check `command` of the model"))
    };
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => of_the_command("was not found"),
        Some(Errno::ACCESS | Errno::PERM) => of_the_command("is not executable"),
        Some(Errno::NOEXEC) => of_the_command("is not a program that this machine can run"),
        Some(Errno::ISDIR) => of_the_command("is a directory"),
        Some(Errno::LOOP | Errno::NAMETOOLONG) => of_the_command("is not a usable path"),
        Some(Errno::TOOBIG) => of_the_command("was given arguments that are too long"),
        Some(Errno::AGAIN) => {
            Unstartable::NoRoom("the process limit has been reached; see `ulimit -u`")
        }
        Some(Errno::NOMEM) => {
            Unstartable::NoRoom("the machine has no memory left for another process")
        }
        _ if error.kind() == io::ErrorKind::InvalidInput => {
            of_the_command("was given an argument with a NUL byte")
        }
        _ => Unstartable::Machine(error),
    }
}
