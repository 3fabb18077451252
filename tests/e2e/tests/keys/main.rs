//! Keys, their budgets and their usage: their life, what they may do, how much, and where they must
//! never be seen.

mod budgets;
mod commits;
mod life;
mod limits;
mod projects;
mod rights;
mod secrecy;
mod thousand;
mod usage;
