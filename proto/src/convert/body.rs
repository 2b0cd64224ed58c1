//! Bodies: raw bytes with their digest, and the compressed form that is stored and sent.
//!
//! The digest is over the raw bytes, so two ends may compress differently and still agree.

use bytes::Bytes;

use crate::digest::Digest;
use crate::limits::BODY_BYTES_MAX;

/// Level 3 is the library's default: within a tenth of its best ratio at a fraction of the time.
const LEVEL: i32 = 3;

/// A body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Longer than the front door accepts.
    #[error("body has {bytes} bytes, the limit is {BODY_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not what the compressor made.
    #[error("body cannot be decompressed")]
    Decompress(#[source] std::io::Error),
    /// Does not have the digest it was asked by.
    #[error("body has digest {found}, wanted {wanted}")]
    Digest {
        /// Asked for.
        wanted: Digest,
        /// Found.
        found: Digest,
    },
}

/// Compresses raw bytes.
///
/// # Errors
/// When they are longer than the front door accepts.
pub fn compress(raw: &[u8]) -> Result<Bytes, BodyError> {
    if raw.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge { bytes: raw.len() });
    }
    zstd::bulk::compress(raw, LEVEL)
        .map(Bytes::from)
        .map_err(BodyError::Decompress)
}

/// Decompresses and checks against the digest.
///
/// # Errors
/// When it is no body, is too large, or is not the one asked for.
pub fn decompress(compressed: &[u8], wanted: Digest) -> Result<Vec<u8>, BodyError> {
    let raw = zstd::bulk::decompress(compressed, BODY_BYTES_MAX).map_err(BodyError::Decompress)?;
    let found = Digest::of(&raw);
    if found == wanted {
        Ok(raw)
    } else {
        Err(BodyError::Digest { wanted, found })
    }
}
