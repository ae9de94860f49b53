//! The appliance's program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two TLS libraries end up in the program; without this the first handshake would panic. It
    // fails only when a provider is installed already, and nothing runs before this line.
    let _ = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    auralink::cli::main()
}
