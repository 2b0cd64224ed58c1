//! One thread that starts all processes and lives as long as the test process.
//!
//! It decides which thread is a child's parent: the kernel's parent-death signal follows the
//! thread that forked, not the process, so a child started by a test's own thread or by a
//! runtime's worker would be killed when that thread ends. It never touches a child afterwards.

use std::{
    io,
    process::{Child, Command},
    sync::{LazyLock, mpsc},
    thread,
};

/// Starts wait for one another; a full queue blocks the caller, who waits for the answer anyway.
const QUEUE_LEN: usize = 8;

struct Request {
    command: Command,
    reply_tx: mpsc::SyncSender<io::Result<Child>>,
}

/// Starts `command` from the thread that outlives all tests.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static REQUESTS: LazyLock<mpsc::SyncSender<Request>> = LazyLock::new(start);
    let (reply_tx, reply_rx) = mpsc::sync_channel(1);
    let ended = || io::Error::other("the spawning thread has ended");
    REQUESTS
        .send(Request { command, reply_tx })
        .map_err(|_| ended())?;
    reply_rx.recv().map_err(|_| ended())?
}

fn start() -> mpsc::SyncSender<Request> {
    let (request_tx, request_rx) = mpsc::sync_channel::<Request>(QUEUE_LEN);
    let run = move || {
        for mut request in request_rx {
            let child = request.command.spawn();
            if let Err(mpsc::SendError(Ok(mut orphan))) = request.reply_tx.send(child) {
                // The caller is gone, so nobody else can end it; what is already dead is fine.
                orphan.kill().ok();
            }
        }
    };
    thread::Builder::new()
        .name("process-spawner".to_owned())
        .spawn(run)
        .expect("the system starts one more thread");
    request_tx
}
