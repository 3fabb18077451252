//! Starting an inference server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;

use diogenes_core::fleet::DeploymentId;
use diogenes_core::ports::{LaunchError, LaunchRequest};

use super::proc::{CLAIM, DEPLOYMENT, MODEL};
use crate::engine::secrets;
use crate::engine::start::{Unstartable, start};

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

/// The port that the model names, unless somebody listens there: its server could not.
pub(super) fn fixed_port(
    host: IpAddr,
    port: u16,
    taken: &BTreeSet<u16>,
) -> Result<u16, LaunchError> {
    match TcpListener::bind((host, port)) {
        Ok(_) if !taken.contains(&port) => Ok(port),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            Err(invalid(&format!("its `port` {port} cannot be used: {error}")))
        }
        Ok(_) | Err(_) => Err(LaunchError::Capacity {
            reason: format!("port {port} is in use; end what listens there"),
        }),
    }
}

/// Starts the command of `request` with the tags of its claim. It outlives us.
pub(super) fn spawn(
    request: &LaunchRequest,
    deployment: &DeploymentId,
    address: SocketAddr,
    log: File,
) -> Result<tokio::process::Child, LaunchError> {
    let engine = &request.engine;
    let secrets =
        secrets::read(engine, &BTreeMap::new()).map_err(|unread| invalid(&unread.to_string()))?;
    let tag_and_log = |command: &mut Command| {
        command
            .env(DEPLOYMENT, deployment.as_str())
            .env(CLAIM, request.claim.as_str())
            .env(MODEL, request.model.as_str())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(())
    };
    start(engine, address, &request.upstream_key, &secrets, tag_and_log).map_err(
        |error| match error {
            Unstartable::Model(problem) => invalid(&problem),
            Unstartable::NoRoom(reason) => LaunchError::Capacity { reason: reason.into() },
            Unstartable::Machine(error) => transient("the process could not be started", error),
        },
    )
}

/// A fault of our own that may pass.
pub(super) fn transient(reason: &str, source: io::Error) -> LaunchError {
    LaunchError::Transient { reason: reason.into(), source: Some(source.into()) }
}

/// What a caller must mend.
pub(super) fn invalid(problem: &str) -> LaunchError {
    LaunchError::InvalidSpec { reason: problem.into() }
}
