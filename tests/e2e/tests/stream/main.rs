//! What passes between a caller and a ready replica, and how it ends.

mod bodies;
mod broken;
mod cancel;
mod faithful;
mod forms;
mod refusals;
mod routes;
