//! Compiles the `.proto` files without a system protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let files = ["../proto/session.proto", "../proto/peer.proto"];
    let descriptors = protox::compile(files, ["../proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
