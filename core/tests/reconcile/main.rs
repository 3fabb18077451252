//! Reconciles over a backend that counts what it is asked and refuses what it is told to.

mod costs;
mod demand;
mod life;
mod refusals;
mod rounds;
mod world;
