//! What sealing promises.

use std::os::unix::fs::PermissionsExt;

use flotilla_kubeapi::store::sealer::{KeyFile, SealError, Sealer};

use super::Directory;

fn mk(directory: &Directory, name: &str) -> KeyFile {
    std::fs::create_dir_all(&directory.0).unwrap();
    KeyFile::open(&directory.0.join(name)).unwrap()
}

#[test]
fn the_key_file_is_for_its_owner_and_stays() {
    let directory = Directory::new();
    let sealed = mk(&directory, "key").seal("/a", b"secret").unwrap();
    let path = directory.0.join("key");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    let again = mk(&directory, "key");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(again.unseal("/a", &sealed).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 1);
}

#[test]
fn sealed_bytes_open_only_as_they_were_and_where_they_were() {
    let directory = Directory::new();
    let sealer = mk(&directory, "key");
    let sealed = sealer.seal("/a", b"secret").unwrap();
    assert_ne!(
        sealer.seal("/a", b"secret").unwrap(),
        sealed,
        "a nonce each"
    );
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    let elsewhere = sealer.unseal("/b", &sealed);
    assert!(matches!(elsewhere, Err(SealError::Altered)));
    for index in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[index] ^= 1;
        assert!(sealer.unseal("/a", &altered).is_err(), "byte {index}");
        assert!(
            sealer.unseal("/a", &sealed[..index]).is_err(),
            "cut at {index}"
        );
    }
    let other = mk(&directory, "other");
    let unknown = other.unseal("/a", &sealed);
    assert!(matches!(unknown, Err(SealError::UnknownKey(_))));
    let empty = sealer.seal("/a", b"").unwrap();
    assert_eq!(sealer.unseal("/a", &empty).unwrap(), b"");
}

#[test]
fn a_new_key_on_top_seals_and_old_ones_open() {
    let directory = Directory::new();
    let old = mk(&directory, "key").seal("/a", b"old").unwrap();
    let new = mk(&directory, "new").seal("/a", b"new").unwrap();
    let read = |name| std::fs::read_to_string(directory.0.join(name)).unwrap();
    let both = read("new") + &read("key");
    std::fs::write(directory.0.join("key"), both).unwrap();
    let sealer = mk(&directory, "key");
    assert_eq!(sealer.unseal("/a", &old).unwrap(), b"old");
    assert_eq!(sealer.unseal("/a", &new).unwrap(), b"new");
    let sealed = sealer.seal("/a", b"x").unwrap();
    assert_eq!(sealed[..4], new[..4], "the first line seals");
}

#[test]
fn what_is_no_key_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("key");
    for text in ["", "00000001", "00000001 AAAA\n", "x AAAA\n"] {
        std::fs::write(&path, text).unwrap();
        let error = KeyFile::open(&path).unwrap_err();
        assert!(matches!(error, SealError::Malformed(_)), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
