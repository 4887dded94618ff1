//! The JSON of the chat completions protocol: [`request`] as it is written, [`response`] as it is read.

pub(super) mod request;
pub(super) mod response;
