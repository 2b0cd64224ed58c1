//! Ports that stay ours while their server is down.
//!
//! It decides which loopback port a server gets: below the range the kernel hands to outgoing
//! connections, so that nothing takes it between a stop and the next start, and locked by a file,
//! so that two test processes never choose the same. It never holds the socket itself.

use super::RealError;
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// One loopback port, reserved among the processes of this machine until dropped.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Reserves a port on which nothing listens.
    pub fn take() -> Result<Self, RealError> {
        let directory = std::env::temp_dir().join("flotilla-e2e-ports");
        fs::create_dir_all(&directory).map_err(RealError::file("create", &directory))?;
        for _ in FIRST..LAST {
            if let Some(lease) = Self::try_port(next_candidate(), &directory)? {
                return Ok(lease);
            }
        }
        Err(RealError::NoFreePort {
            from: FIRST,
            to: LAST,
        })
    }

    /// The port's number.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn try_port(port: u16, directory: &std::path::Path) -> Result<Option<Self>, RealError> {
        let path: PathBuf = directory.join(port.to_string());
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(RealError::file("open", &path))?;
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        Ok(free.then_some(Self { port, _lock: lock }))
    }
}

/// Starts at a place of its own per process, so that processes rarely meet.
fn next_candidate() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let span = u32::from(LAST - FIRST);
    let offset = (std::process::id().wrapping_mul(97).wrapping_add(turn)) % span;
    FIRST + u16::try_from(offset).expect("an offset below the span fits the span's type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_differ_and_are_free() {
        let leases: Vec<_> = (0..20).map(|_| PortLease::take().unwrap()).collect();
        let mut ports: Vec<_> = leases.iter().map(PortLease::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
