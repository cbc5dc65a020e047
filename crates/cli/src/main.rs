//! The program `ipai-sync`.

fn main() -> std::process::ExitCode {
    ipai_cli::main()
}
