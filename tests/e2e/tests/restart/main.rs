//! What survives the end of `serve`, and how it ends.

mod activation;
mod crash;
mod leave;
mod lock;
mod orphans;
mod shutdown;
