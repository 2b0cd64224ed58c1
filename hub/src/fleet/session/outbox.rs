//! What goes out next, within the limits of one agent's queue.
//!
//! Answers come first, bodies and deltas take turns. Nothing is queued here without a bound: what is
//! repeated is coalesced, and an agent that asks without reading is left.

use std::collections::VecDeque;

use bytes::Bytes;
use flotilla_proto::digest::Digest;
use flotilla_proto::limits::{BODY_WANTS_MAX, CHUNK_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_MSGS_MAX};
use flotilla_proto::v1;
use flotilla_proto::v1::hub_frame::Frame;

use crate::fleet::share::Body;

/// Answers that wait; an agent that lets more pile up does not read.
const CONTROL_MAX: usize = 64;
/// Requests for bodies that wait: what a well-behaved agent asks, and as many again.
const WANTS_MAX: usize = 2 * BODY_WANTS_MAX;

/// An agent that asks for more than it reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) digest: Digest,
    pub(super) offset: u64,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    control: VecDeque<Frame>,
    pong: Option<u64>,
    status_ack: Option<u64>,
    wants: VecDeque<Want>,
    queued_msgs: usize,
    queued_bytes: usize,
    body_turn: bool,
}

impl Outbox {
    pub(super) fn control(&mut self, frame: Frame) -> Result<(), TooMuch> {
        if self.control.len() >= CONTROL_MAX {
            return Err(TooMuch);
        }
        self.control.push_back(frame);
        Ok(())
    }

    pub(super) fn pong(&mut self, t: u64) {
        self.pong = Some(t);
    }

    pub(super) fn status_ack(&mut self, k: u64) {
        self.status_ack = self.status_ack.max(Some(k));
    }

    pub(super) fn want(&mut self, want: Want) -> Result<(), TooMuch> {
        if self.wants.len() >= WANTS_MAX {
            return Err(TooMuch);
        }
        self.wants.push_back(want);
        Ok(())
    }

    /// Whether the queue takes one more frame.
    pub(super) fn has_room(&self) -> bool {
        self.queued_msgs < QUEUE_MSGS_MAX && self.queued_bytes < QUEUE_BYTES_MAX
    }

    pub(super) fn queued(&mut self, bytes: usize) {
        self.queued_msgs += 1;
        self.queued_bytes += bytes;
    }

    pub(super) fn drained(&mut self, msgs: usize, bytes: usize) {
        self.queued_msgs = self.queued_msgs.saturating_sub(msgs);
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
    }

    /// The next answer.
    pub(super) fn pop_control(&mut self) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        if let Some(t) = self.pong.take() {
            return Some(Frame::Pong(v1::Pong { t }));
        }
        let k = self.status_ack.take()?;
        Some(Frame::StatusAck(v1::StatusAck { k }))
    }

    /// The next wanted piece of a body, when it is bodies' turn or nothing else waits.
    pub(super) fn pop_want(&mut self, others_wait: bool) -> Option<Want> {
        self.body_turn = !self.body_turn;
        if others_wait && !self.body_turn {
            return None;
        }
        self.wants.pop_front()
    }

    /// More of the same body must follow.
    pub(super) fn again(&mut self, want: Want) {
        self.wants.push_front(want);
    }
}

/// One chunk of a body, and where the next one begins.
pub(super) fn chunk(want: Want, body: Option<&Body>) -> (v1::BodyChunk, Option<Want>) {
    let digest = want.digest.to_wire();
    let size = body.map_or(0, |b| b.compressed.len());
    let start = usize::try_from(want.offset).unwrap_or(usize::MAX);
    let Some(body) = body.filter(|_| start < size || (start == 0 && size == 0)) else {
        let missing = v1::BodyChunk {
            digest,
            offset: want.offset,
            last: true,
            missing: true,
            ..v1::BodyChunk::default()
        };
        return (missing, None);
    };
    let end = size.min(start + CHUNK_BYTES_MAX);
    let bytes: Bytes = body.compressed.slice(start..end);
    let made = v1::BodyChunk {
        digest,
        offset: want.offset,
        bytes,
        last: end == size,
        compressed_bytes: size as u64,
        raw_bytes: body.raw_bytes as u64,
        missing: false,
    };
    let next = (end < size).then_some(Want {
        offset: end as u64,
        ..want
    });
    (made, next)
}
