//! What `serve` says when it cannot start, and where its settings come from.

mod command_line;
mod configuration;
mod data_dir;
mod url;
