//! Compiles the wire without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["fleet/v1/session.proto", "fleet/v1/enrolment.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
