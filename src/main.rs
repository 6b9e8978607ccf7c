//! The program: parse arguments, call one command, map its failure to an exit code.

use std::process::ExitCode;

mod cmd;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cmd::main()
}
