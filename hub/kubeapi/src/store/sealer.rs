//! Secrets at rest: what reaches a disk is sealed, and only for the key it was written at.
//!
//! The trait is what a key management service would stand behind as well: it names the sealing
//! key inside the sealed bytes, may block (the writer's own thread calls it) and may fail for one
//! value without harm to others. It never decides which values are secret.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes that name the sealing key.
const ID_BYTES: usize = 4;

/// Bytes of a sealing key.
const KEY_BYTES: usize = 32;

/// Seals values on their way to a disk.
pub trait Sealer: Send + Sync + 'static {
    /// Seals a value for this key of the store.
    fn seal(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what was sealed for this key of the store.
    fn unseal(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// Why a value was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file cannot be read or made.
    #[error("key file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The key file is not one.
    #[error("key file {0} must have lines of a number and 32 bytes in base64")]
    Malformed(PathBuf),
    /// The key that sealed this is not there.
    #[error("sealed with key {0:08x}, which is not in the key file")]
    UnknownKey(u32),
    /// The bytes were altered, or sealed for another key of the store.
    #[error("sealed bytes do not open")]
    Altered,
    /// No random numbers, or a value beyond what the cipher takes.
    #[error("sealing failed")]
    Cipher,
}

/// AES-256-GCM under keys of a file: the first line seals, every line opens. To change keys, put
/// a new line on top.
#[derive(Debug)]
pub struct KeyFile {
    keys: Vec<(u32, LessSafeKey)>,
    random: SystemRandom,
}

impl KeyFile {
    /// Reads the file, or makes it with one new key, for its owner only.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let random = SystemRandom::new();
        let text = match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = mk_line(&random)?;
                create(path, &text).map(|()| text)
            }
            other => other,
        };
        let text = text.map_err(|source| SealError::File {
            path: path.to_owned(),
            source,
        })?;
        let keys: Option<Vec<_>> = text.lines().map(parse).collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Self { keys, random }),
            _ => Err(SealError::Malformed(path.to_owned())),
        }
    }
}

impl Sealer for KeyFile {
    /// Number of the sealing key, nonce, sealed value with its tag.
    fn seal(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, cipher) = self.keys.first().ok_or(SealError::Cipher)?;
        let nonce: [u8; NONCE_LEN] = random(&self.random)?;
        let mut sealed = value.to_vec();
        let tag = cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(key.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SealError::Cipher)?;
        Ok([&id.to_be_bytes()[..], &nonce, &sealed, tag.as_ref()].concat())
    }

    fn unseal(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed
            .split_first_chunk::<ID_BYTES>()
            .ok_or(SealError::Altered)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Altered)?;
        let id = u32::from_be_bytes(*id);
        let known = self.keys.iter().find(|(known, _)| *known == id);
        let (_, cipher) = known.ok_or(SealError::UnknownKey(id))?;
        let mut value = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher
            .open_in_place(nonce, Aad::from(key.as_bytes()), &mut value)
            .map_err(|_| SealError::Altered)?
            .len();
        value.truncate(opened);
        Ok(value)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode, "key file can be read by others");
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Makes the file whole or not at all: half a key would lock its owner out.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// A new key under a number of its own, so that a lost file is told from a wrong one.
fn mk_line(source: &SystemRandom) -> Result<String, SealError> {
    let id = u32::from_be_bytes(random(source)?);
    let key: [u8; KEY_BYTES] = random(source)?;
    Ok(format!("{id:08x} {}\n", STANDARD.encode(key)))
}

fn parse(line: &str) -> Option<(u32, LessSafeKey)> {
    let (id, key) = line.trim().split_once(' ')?;
    let key = STANDARD.decode(key).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
    Some((u32::from_str_radix(id, 16).ok()?, LessSafeKey::new(key)))
}

fn random<const N: usize>(source: &SystemRandom) -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    source.fill(&mut bytes).map_err(|_| SealError::Cipher)?;
    Ok(bytes)
}
