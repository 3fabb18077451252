//! The program `mock-vllm`: parses its flags and serves until it is told to stop.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match mock_vllm::run_blocking(mock_vllm::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "mock-vllm: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
