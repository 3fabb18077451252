//! AWS itself, for the few commands that do not go through Diogenes' own API.

mod args;
#[cfg(feature = "aws")]
mod problem;
#[cfg(feature = "aws")]
mod session;
#[cfg(feature = "aws")]
mod stack;
#[cfg(feature = "aws")]
mod table;

pub(crate) use args::DeploymentArgs;
#[cfg(feature = "aws")]
pub(crate) use problem::Problem;
#[cfg(feature = "aws")]
pub(crate) use session::Session;
#[cfg(feature = "aws")]
pub(crate) use stack::{Stack, default_stack};
#[cfg(feature = "aws")]
pub(crate) use table::DeployedTable;

/// What a program that was built without these commands says of them.
#[cfg(not(feature = "aws"))]
pub(crate) fn left_out(flag: &str) -> crate::exit::Failure {
    crate::exit::Kind::Config.because(format!(
        "`{flag}` needs the AWS SDK, which this `diogenes` was built without; rebuild it in the \
         checkout with `cargo install --locked --path cli --features aws`"
    ))
}
