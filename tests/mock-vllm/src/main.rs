//! The program `mock-vllm`: parses its flags and serves until it is told to stop.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match mock_vllm::run_blocking(mock_vllm::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            let causes = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
            let chain: Vec<_> = causes.map(ToString::to_string).collect();
            let _ = writeln!(std::io::stderr(), "mock-vllm: {}", chain.join(": "));
            ExitCode::from(code)
        }
    }
}
