//! Compiles the schema with protox (no protoc needed) and keeps the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 7] = [
    "vmuster/v1/features.proto",
    "vmuster/v1/hypervisor.proto",
    "vmuster/v1/host.proto",
    "vmuster/v1/agent_service.proto",
    "vmuster/v1/cluster_service.proto",
    "vmuster/v1/placement_service.proto",
    "vmuster/v1/reader.proto",
];

#[expect(clippy::disallowed_methods, reason = "a build script writes to OUT_DIR")]
fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("vmuster.v1.descriptors.bin"), descriptors.encode_to_vec())?;
    // Sorted maps: equal messages are equal bytes, by which the coordinator knows parts that hosts have alike.
    tonic_prost_build::configure()
        .btree_map(".")
        // An inventory has 2 KB beside its lists: in place it would be in every future that waits for one, several times.
        .boxed(".vmuster.v1.GetInventoryResponse.outcome.collected")
        .compile_fds(descriptors)?;
    Ok(())
}
