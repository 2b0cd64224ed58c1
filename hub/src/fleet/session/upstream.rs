//! What an agent says: listed, cut to size, and believed about its own works only.
//!
//! No message says which cluster it is about; what names a work that is not this cluster's is dropped.

use std::time::Instant;

use flotilla_proto::digest::Digest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::TEXT_BYTES_MAX;
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame;

use super::outbox::Want;
use super::{Fact, Phase, Session, clamp};

impl Session {
    pub(super) fn frame(&mut self, frame: v1::AgentFrame, now: Instant) {
        self.heard_at = now;
        // A later agent may say what this hub does not know.
        let Some(frame) = frame.frame else {
            return;
        };
        match (&self.phase, frame) {
            (Phase::Hello, Frame::Hello(hello)) => self.hello(hello),
            (Phase::Open, frame) => self.open_frame(frame, now),
            (_, Frame::Ping(_) | Frame::Pong(_)) => {}
            (Phase::Hello, _) => self.break_off("the agent did not begin with Hello"),
            _ => self.break_off("the agent did not wait for Welcome"),
        }
    }

    fn open_frame(&mut self, frame: Frame, now: Instant) {
        match frame {
            Frame::Hello(_) => self.break_off("a second Hello"),
            Frame::Buckets(buckets) => self.buckets(&buckets, now),
            Frame::Inventory(page) => self.inventory(&page, now),
            Frame::BodyWant(want) => self.body_want(&want),
            Frame::Ack(ack) => self.ack(&ack),
            Frame::Nack(nack) => self.nack(&nack),
            Frame::Status(status) => self.status(&status),
            Frame::Capacity(capacity) => self.fact(Fact::Capacity(clamp::capacity(&capacity))),
            Frame::Health(health) => self.fact(Fact::MemberApi {
                reachable: health.member_api_reachable,
                detail: clamp::text(&health.detail, TEXT_BYTES_MAX),
            }),
            Frame::Found(found) => self.found(&found),
            Frame::Ping(ping) => self.outbox.pong(ping.t),
            Frame::Goaway(_) => self.close("the agent goes away", None, false),
            // Nothing is built on these yet; the queue bounds itself.
            Frame::Profiles(_) | Frame::Answer(_) | Frame::Credit(_) | Frame::Pong(_) => {}
        }
    }

    fn body_want(&mut self, want: &v1::BodyWant) {
        let Some(digest) = Digest::from_wire(&want.digest) else {
            return self.break_off("a digest of another length");
        };
        let offset = want.offset;
        if self.outbox.want(Want { digest, offset }).is_err() {
            self.break_off("too many bodies at once");
        }
    }

    /// Only what was said in this session can be acknowledged in it.
    fn ack(&mut self, ack: &v1::Ack) {
        if ack.n > self.last_n {
            return self.break_off("an acknowledgement of what was not said");
        }
        for settled in &ack.tombstones {
            let Some(id) = WorkId::from_wire(&settled.id) else {
                return self.break_off("an id of another length");
            };
            let made_at = settled.made_at;
            if self.said_tombstones.remove(&(id, made_at)) {
                self.memory().approved.remove(&id);
                self.fact(Fact::Settled { id, made_at });
            } else {
                self.fact(Fact::NotYours);
            }
        }
    }

    fn nack(&mut self, nack: &v1::Nack) {
        let id = WorkId::from_wire(&nack.id).filter(|id| self.is_ours(*id));
        let Some(id) = id else {
            return self.fact(Fact::NotYours);
        };
        let known = self.memory().status;
        let order = if known.0 == self.fence {
            known
        } else {
            (self.fence, 0)
        };
        let report = clamp::nack(nack, order);
        if nack.class() == v1::NackClass::Held {
            self.fact(Fact::HeldByAgent(id, report.message.clone()));
        }
        self.fact(Fact::Work(id, report));
    }

    fn status(&mut self, status: &v1::Status) {
        self.outbox.status_ack(status.k);
        let id = WorkId::from_wire(&status.id).filter(|id| self.is_ours(*id));
        let Some(id) = id else {
            return self.fact(Fact::NotYours);
        };
        let report = clamp::status(status, self.fence);
        {
            let mut memory = self.memory();
            let newer = (self.fence, status.k) > memory.status || memory.status.0 > self.fence;
            if report.order.0 == self.fence && newer {
                memory.status = report.order;
            }
            if report.applied {
                memory.approved.remove(&id);
            }
        }
        self.fact(Fact::Work(id, report));
    }

    fn found(&mut self, found: &v1::Found) {
        let Some(id) = WorkId::from_wire(&found.id) else {
            return self.fact(Fact::NotYours);
        };
        let detail = clamp::text(&found.detail, TEXT_BYTES_MAX);
        match found.kind() {
            v1::FoundKind::Orphan => self.fact(Fact::Orphan(id, detail)),
            v1::FoundKind::Reappeared => self.fact(Fact::Reappeared(id, detail)),
            v1::FoundKind::Unspecified => self.fact(Fact::NotYours),
        }
    }
}
