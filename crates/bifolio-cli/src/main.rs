//! The program `bifolio`. Everything is in the library beside it, where tests can reach it.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    bifolio_cli::main()
}
