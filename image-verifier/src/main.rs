//! The image verifier that containerd runs at each pull: exit code 0 allows, anything else refuses.

use std::process::ExitCode;

fn main() -> ExitCode {
    image_verifier::process::main()
}
