//! A TCP proxy between agents and the hub that counts what passes. It sees ciphertext only.
//!
//! Decides nothing; ends with its handle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that passed, by direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// From agents to the hub.
    pub up_bytes: u64,
    /// From the hub to agents.
    pub down_bytes: u64,
}

#[derive(Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
}

/// A running proxy.
pub struct Tap {
    address: SocketAddr,
    to: watch::Sender<SocketAddr>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Tap {
    /// Listens on a free port and passes connections on to `to`.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counters = Arc::<Counters>::default();
        let (to, to_rx) = watch::channel(to);
        let task = tokio::spawn(accept(listener, to_rx, Arc::clone(&counters)));
        Ok(Self {
            address,
            to,
            counters,
            task,
        })
    }

    /// Where to dial.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes connections on to another hub from now on, as a load balancer would, and cuts those
    /// that are open.
    pub fn redirect(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// What passed so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        Passed {
            up_bytes: self.counters.up.load(Ordering::Relaxed),
            down_bytes: self.counters.down.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    mut to: watch::Receiver<SocketAddr>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    loop {
        // Cancel-safe: neither a connection nor a redirection is lost when the other arm wins.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(()) = to.changed() => {
                connections.abort_all();
                continue;
            }
        };
        let Ok((from, _)) = accepted else { return };
        let target = *to.borrow();
        let counters = Arc::clone(&counters);
        connections.spawn(async move {
            let Ok(to) = TcpStream::connect(target).await else {
                return;
            };
            // A late frame must not wait for Nagle: the tap may not be what is measured.
            let _ = (from.set_nodelay(true), to.set_nodelay(true));
            let (from_read, from_write) = from.into_split();
            let (to_read, to_write) = to.into_split();
            tokio::join!(
                pass(from_read, to_write, &counters.up),
                pass(to_read, from_write, &counters.down),
            );
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counter: &AtomicU64,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        counter.fetch_add(n as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}
