//! Deployments of prompts, carried on by the process that serves the requests.

mod deployment_loop;
mod warmth;

pub use deployment_loop::DeploymentLoop;
pub use warmth::Warmth;
