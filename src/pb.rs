//! The generated contract: messages, client stubs and server traits of `proto/`, and nothing else.
//!
//! Only `rpc` (the server's rim) and `client` (the caller's rim) use it; inside, everything is
//! [`crate::domain`].

mod codec;

pub use codec::Codec;

/// Package `runwire.v1`.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    clippy::default_trait_access,
    clippy::large_enum_variant,
    clippy::doc_lazy_continuation,
    clippy::doc_markdown,
    clippy::wildcard_enum_match_arm,
    unused_qualifications,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("runwire.v1");
}

/// The contract as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runwire.descriptor.bin"));
