//! The protocol's constants, each with its reason, for both ends.

use std::time::Duration;

/// Versions this build speaks.
pub const VERSION_MIN: u32 = 1;
/// Versions this build speaks.
pub const VERSION_MAX: u32 = 1;
/// Silence is broken this often: three lost in a row are a lost peer, without flooding idle links.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// A peer silent for this long is lost: three heartbeats.
pub const SILENT_LOSS: Duration = Duration::from_secs(30);
/// No frame is larger, so that none blocks a small one for long.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
/// What a decoder accepts: a frame and slack for a peer with a larger limit.
pub const DECODE_BYTES_MAX: usize = 1 << 20;
/// A body as the front door accepts it (etcd's request limit), before compression.
pub const BODY_BYTES_MAX: usize = 3 << 19;
/// Bodies travel in chunks of this size at most, so that deltas pass between them.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Frames queued for one agent; beyond that slots stay pending.
pub const QUEUE_MSGS_MAX: usize = 256;
/// Bytes queued for one agent; beyond that slots stay pending.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Status of one work: first change at once, then at most one in this time.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// A handshake or a first message that takes longer is cut.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Back-off of reconnects, with full jitter.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Back-off of reconnects, with full jitter.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Streams of one connection.
pub const STREAMS_MAX: u32 = 64;
/// How long an agent remembers works that are gone: the age of the oldest backup one may restore.
pub const GONE_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);
/// Life of a leaf; renewed at half of it.
pub const LEAF_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Life of a join token.
pub const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// Body requests in flight.
pub const BODY_WANTS_MAX: usize = 8;
/// Status JSON of one work; larger is dropped with a message.
pub const STATUS_BYTES_MAX: usize = 64 << 10;
/// Details and messages are cut to this.
pub const TEXT_BYTES_MAX: usize = 2 << 10;
/// Derived removals beyond max(this, `BRAKE_SHARE_PERCENT` of a cluster's works) in `BRAKE_WINDOW` are held.
pub const BRAKE_REMOVALS: usize = 25;
/// See `BRAKE_REMOVALS`.
pub const BRAKE_SHARE_PERCENT: usize = 25;
/// See `BRAKE_REMOVALS`.
pub const BRAKE_WINDOW: Duration = Duration::from_secs(60);
/// The TLS exporter label that ties a join to its connection.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-flotilla-join";
