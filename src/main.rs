//! The appliance's program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The program links two TLS libraries; without this the first handshake would panic. Installing
    // fails only if a provider is installed already, and no code runs before this line.
    let _ = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    auralink::cli::main()
}
