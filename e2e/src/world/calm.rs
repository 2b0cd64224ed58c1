//! Calm: nobody writes and nobody lists at any API server of a world, as their audit logs tell.
//!
//! It decides what counts as noise: every write and list of every user, but for what is exempt by
//! name. It never decides how long a world may take or stay calm for.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{AGENT_USER, World, WorldError};
use crate::real::{AuditEvent, AuditKey, AuditLog, AuditMark, NotYet, RealError, eventually};

/// No write anywhere for this long = everything that follows a change has been written: pages, packs
/// and marks wait some seconds for company.
const CALM: Duration = Duration::from_secs(12);
/// Calm comes sooner, or something writes for ever.
const CALM_MAX: Duration = Duration::from_secs(120);

/// What is not noise, and why.
struct Exempt {
    user: &'static str,
    verb: &'static str,
    resource: &'static str,
    why: &'static str,
}

const EXEMPT: &[Exempt] = &[
    Exempt {
        user: flotilla_hub::rbac::HUB_NAME,
        verb: "update",
        resource: "leases.coordination.k8s.io",
        why: "exempt: the hub's lease",
    },
    Exempt {
        user: AGENT_USER,
        verb: "update",
        resource: "leases.coordination.k8s.io",
        why: "exempt: the agent's lease",
    },
    Exempt {
        user: "system:apiserver",
        verb: "list",
        resource: "services",
        why: "exempt: kube-apiserver checks its service addresses every three minutes",
    },
];

/// Whether a quiet world has no such request: a write or a list that is not exempt.
#[must_use]
pub fn is_noise(key: &AuditKey) -> bool {
    (key.is_write() || key.verb == "list") && exempt(key).is_none()
}

/// What people read beside a kind of request: noise, why it is exempt, or that it only reads.
#[must_use]
pub fn verdict(key: &AuditKey) -> &'static str {
    match exempt(key) {
        Some(exempt) => exempt.why,
        None if is_noise(key) => "NOT QUIET",
        None => "reads",
    }
}

fn exempt(key: &AuditKey) -> Option<&'static Exempt> {
    EXEMPT
        .iter()
        .find(|e| e.user == key.user && e.verb == key.verb && e.resource == key.resource)
}

/// One request on one line, for the message of a failure.
pub struct Line<'a>(pub &'a AuditEvent);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AuditEvent { key, .. } = self.0;
        write!(
            f,
            "{} {} {}/{} by {} ({}) -> {}",
            key.verb,
            key.resource,
            self.0.namespace,
            self.0.name,
            key.user,
            self.0.user_agent,
            self.0.code
        )
    }
}

/// The last noise of a world, and how far its logs are read.
struct Heard {
    marks: Vec<AuditMark>,
    at: Instant,
    what: String,
}

impl Heard {
    fn read_on(&mut self, logs: &[(String, AuditLog)]) -> Result<(), RealError> {
        for ((whose, log), mark) in logs.iter().zip(&mut self.marks) {
            let end = log.mark_after(*mark)?;
            let events = log.events(*mark, Some(end))?;
            *mark = end;
            if let Some(noise) = events.iter().rfind(|e| is_noise(&e.key)) {
                self.at = Instant::now();
                self.what = format!("{whose}: {}", Line(noise));
            }
        }
        Ok(())
    }
}

impl World {
    /// The audit logs of all its API servers, the front door's first.
    #[must_use]
    pub fn audits(&self) -> Vec<(String, AuditLog)> {
        let door = ("front door".to_owned(), self.door().audit());
        let members = self.members();
        let members = members.map(|m| (m.name().to_owned(), m.plane().audit()));
        std::iter::once(door).chain(members).collect()
    }

    /// Waits until nobody has written or listed anywhere for a while: how long that took.
    ///
    /// # Errors
    /// When somebody goes on; says who.
    pub async fn calm(&self) -> Result<Duration, WorldError> {
        let logs = self.audits();
        let marks: Result<_, _> = logs.iter().map(|(_, log)| log.mark()).collect();
        let began = Instant::now();
        let heard = Mutex::new(Heard {
            marks: marks?,
            at: began,
            what: "nothing was written".to_owned(),
        });
        eventually("nobody writes anywhere", CALM_MAX, async || {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.read_on(&logs).map_err(NotYet::never)?;
            if heard.at.elapsed() >= CALM {
                return Ok(());
            }
            Err(NotYet::again(&heard.what))
        })
        .await?;
        Ok(began.elapsed())
    }
}
