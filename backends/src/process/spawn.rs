//! Starting an inference server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use diogenes_core::fleet::{DeploymentId, Invocation};
use diogenes_core::ports::{LaunchError, LaunchRequest};
use rustix::io::Errno;

use super::identity::{CLAIM, DEPLOYMENT, MODEL};
use crate::engine::secrets;

/// How many ports are tried before it is given up.
const PORTS: usize = 64;

/// A port of `host` that nobody listens on, and that none of `taken` is. It is free until the
/// child binds it, unless somebody else is faster; then the child fails and says so in its log.
pub(super) fn free_port(host: IpAddr, taken: &BTreeSet<u16>) -> io::Result<u16> {
    for _ in 0..PORTS {
        let port = TcpListener::bind((host, 0))?.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Starts the command of `request` as the leader of a group of its own, so that it and its
/// children are ended together and outlive us. The standard library opens every file
/// close-on-exec and resets the signal mask of a child.
pub(super) fn spawn(
    request: &LaunchRequest,
    deployment: &DeploymentId,
    address: SocketAddr,
    log: File,
) -> Result<tokio::process::Child, LaunchError> {
    let engine = &request.engine;
    let secrets =
        secrets::read(engine, &BTreeMap::new()).map_err(|unread| invalid(&unread.to_string()))?;
    let Invocation { program, arguments, env } = engine
        .invocation(address, &request.upstream_key, &secrets)
        .map_err(|error| invalid(&error.to_string()))?;
    if let Some(dir) = &engine.working_dir
        && !Path::new(dir).is_dir()
    {
        let problem = format!("its `working_dir` `{dir}` is not a directory");
        return Err(invalid(&problem));
    }
    let mut command = Command::new(&program);
    command
        // Most likely the operator's own key.
        .env_remove("DIOGENES_API_KEY")
        .args(arguments)
        .envs(env)
        .env(DEPLOYMENT, deployment.as_str())
        .env(CLAIM, request.claim.as_str())
        .env(MODEL, request.model.as_str())
        .stdin(Stdio::null())
        .process_group(0);
    if let Some(dir) = &engine.working_dir {
        command.current_dir(dir);
    }
    match log.try_clone() {
        Ok(errors) => command.stdout(log).stderr(errors),
        Err(error) => return Err(transient("the log could not be opened", error)),
    };
    tokio::process::Command::from(command).spawn().map_err(|error| explain(&program, error))
}

/// A fault of our own that may pass.
pub(super) fn transient(reason: &str, source: io::Error) -> LaunchError {
    LaunchError::Transient { reason: reason.into(), source: Some(source.into()) }
}

/// What a caller must mend.
pub(super) fn invalid(problem: &str) -> LaunchError {
    LaunchError::InvalidSpec { reason: problem.into() }
}

fn explain(program: &str, error: io::Error) -> LaunchError {
    let of_the_command = |what: &str| {
        let problem = format!("`{program}` {what}; check `command` of the model");
        invalid(&problem)
    };
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => of_the_command("was not found"),
        Some(Errno::ACCESS | Errno::PERM) => of_the_command("may not be executed"),
        Some(Errno::NOEXEC) => of_the_command("is not a program that this machine can run"),
        Some(Errno::ISDIR) => of_the_command("is a directory"),
        Some(Errno::LOOP | Errno::NAMETOOLONG) => of_the_command("is not a usable path"),
        Some(Errno::TOOBIG) => of_the_command("was given too long arguments"),
        Some(Errno::AGAIN) => LaunchError::Capacity {
            reason: "the process limit has been reached; see `ulimit -u`".into(),
        },
        Some(Errno::NOMEM) => LaunchError::Capacity {
            reason: "the machine has no memory left for another process".into(),
        },
        _ if error.kind() == io::ErrorKind::InvalidInput => {
            of_the_command("was given an argument with a NUL byte")
        }
        _ => transient("the process could not be started", error),
    }
}
