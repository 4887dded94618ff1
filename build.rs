//! Compiles `proto/` into the output folder: messages, services, and the descriptor for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-prost-build prints no rerun-if-changed of its own; without this line any touch of the
    // package would generate and compile everything again.
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = fs::read_dir("proto/runwire/v1")?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();

    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(
        out.join("runwire.descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::pb::Codec")
        // `Run` and `RunSnapshot` are large and rare; unboxed they would set the size of every event.
        .boxed(".runwire.v1.RunEvent.event.run_updated")
        .boxed(".runwire.v1.RunEvent.event.message_completed")
        .boxed(".runwire.v1.RunEvent.event.tool_call_updated")
        .compile_fds(descriptors)?;
    Ok(())
}
