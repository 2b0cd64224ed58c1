//! Bodies of requests in forms other than JSON.
//!
//! Everything becomes the JSON that the same client would have sent; nothing here knows what a
//! field means or whether it may be there.

pub mod protobuf;
