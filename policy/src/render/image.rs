//! Image references: takes `[host[:port]/]repository[:tag][@digest]` apart and puts it together.
//!
//! The grammar is that of container registries; nothing is ever filled in (no `docker.io/library`).
//! Decides what is a reference and what is not, never which image is right.

use std::fmt;

use thiserror::Error;

const PATH_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;
/// Shortest digest the grammar accepts, whatever its algorithm.
const DIGEST_HEX_LENGTH_MIN: usize = 32;
/// Algorithms a registry accepts, with the length of their hexadecimal text.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// The parts of an image reference; an absent part is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Host and port of the registry.
    pub registry: String,
    /// Path of the image in the registry.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Digest with its algorithm.
    pub digest: String,
}

/// Why a text is no image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// The text is empty.
    #[error("repository name must have at least one component")]
    Empty,
    /// It would be a reference in lower case.
    #[error("repository name must be lowercase")]
    Uppercase,
    /// The grammar does not allow it.
    #[error("invalid reference format")]
    Format,
    /// The name without its host is too long.
    #[error("repository name must not be more than 255 characters")]
    Length,
    /// The digest's algorithm is not one that registries accept.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// The digest has another length than its algorithm makes.
    #[error("invalid checksum digest length")]
    DigestLength,
    /// The digest is not in lower case.
    #[error("invalid checksum digest format")]
    DigestFormat,
}

impl Image {
    /// Takes a reference apart.
    ///
    /// # Errors
    /// Text that the grammar does not allow.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        let Some(split) = split(text) else {
            let lower = split(&text.to_lowercase()).is_some();
            return Err(if lower {
                ImageError::Uppercase
            } else {
                ImageError::Format
            });
        };
        if path_of(split.name).len() > PATH_LENGTH_MAX {
            return Err(ImageError::Length);
        }
        if let Some(digest) = split.digest {
            check_digest(digest)?;
        }
        let (registry, repository) = match split.name.split_once('/') {
            Some((host, path)) if is_registry(host) => (host, path),
            _ => ("", split.name),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: split.tag.unwrap_or("").to_owned(),
            digest: split.digest.unwrap_or("").to_owned(),
        })
    }

    /// Sets a tag or a digest, whichever the text is, and clears the other; other text changes
    /// nothing.
    pub fn set_tag_or_digest(&mut self, text: &str) {
        if is_tag(text) {
            text.clone_into(&mut self.tag);
            self.digest.clear();
        } else if is_digest(text) {
            self.tag.clear();
            text.clone_into(&mut self.digest);
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.registry.is_empty() {
            write!(f, "{}/", self.registry)?;
        }
        f.write_str(&self.repository)?;
        if !self.tag.is_empty() {
            write!(f, ":{}", self.tag)?;
        }
        if !self.digest.is_empty() {
            write!(f, "@{}", self.digest)?;
        }
        Ok(())
    }
}

struct Split<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

/// Name, tag and digest. A name holds no `@`, and a `:` only before a `/`.
fn split(text: &str) -> Option<Split<'_>> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    let valid = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    valid.then_some(Split { name, tag, digest })
}

fn is_name(name: &str) -> bool {
    path_of(name).split('/').all(is_component)
}

/// The name without its first part when that can be a host.
fn path_of(name: &str) -> &str {
    match name.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => name,
    }
}

/// Runs of lower-case letters and digits between separators: `.`, `_`, `__` or dashes.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = text.trim_start_matches(plain);
    if inner.len() == text.len() {
        return false;
    }
    inner.is_empty()
        || text.ends_with(plain)
            && inner
                .split(plain)
                .filter(|separator| !separator.is_empty())
                .all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    let digits = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    port.is_none_or(digits) && (is_ipv6(host) || host.split('.').all(is_host_label))
}

fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'))
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether the first segment of a name is a registry rather than a part of the path.
fn is_registry(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment == "localhost"
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_LENGTH_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic())
            && p.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && hex.len() >= DIGEST_HEX_LENGTH_MIN
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the grammar leaves open: known algorithm, its length, lower case.
fn check_digest(digest: &str) -> Result<(), ImageError> {
    let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
    let Some((_, length)) = ALGORITHMS.iter().find(|(name, _)| *name == algorithm) else {
        return Err(ImageError::DigestAlgorithm);
    };
    if hex.len() != *length {
        return Err(ImageError::DigestLength);
    }
    if hex.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ImageError::DigestFormat);
    }
    Ok(())
}
