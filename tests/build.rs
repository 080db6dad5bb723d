//! Compiles the CRI definition without a protoc on the machine: a client, and the server of the
//! stand-in for CRI-O.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../node-runtime/proto/cri.proto");
    let descriptors = protox::compile(["cri.proto"], ["../node-runtime/proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
