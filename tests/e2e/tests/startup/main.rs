//! What `serve` says when it cannot start, and where its settings come from.

mod command_line;
mod configuration;
mod connections;
mod data_dir;
mod url;
