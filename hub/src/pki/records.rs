//! What Enrolments and JoinTokens hold, read from and written into objects of the front door.
//!
//! Objects stay JSON so that a replace keeps every field that is not ours.

use serde_json::{Value, json};

use crate::durable::{ENROLMENT, Kind};

/// Serials of the newest leaves that may connect.
const SERIALS_KEPT: usize = 2;

/// Whether an enrolled key may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// Not until a person decides: the key was seen in two places.
    Locked,
    /// Never again.
    Revoked,
    /// Never again, and nobody waits for the cluster's acknowledgements any more.
    Forgotten,
}

impl Standing {
    /// Reads `spec.state` of an Enrolment; an unknown word is locked, an absent one active.
    #[must_use]
    pub fn of(enrolment: &Value) -> Self {
        match enrolment["spec"]["state"].as_str() {
            None | Some("" | "Active") => Self::Active,
            Some("Revoked") => Self::Revoked,
            Some("Forgotten") => Self::Forgotten,
            Some(_) => Self::Locked,
        }
    }

    /// The word as it stands in the object.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Locked => "Locked",
            Self::Revoked => "Revoked",
            Self::Forgotten => "Forgotten",
        }
    }
}

/// An Enrolment as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Enrolled {
    /// UID of the object: another enrolment under the same name is another one.
    pub(super) uid: String,
    pub(super) cluster_uid: String,
    /// Ed25519 public key, base64.
    pub(super) identity_key: String,
    pub(super) standing: Standing,
    /// The newest last.
    pub(super) serials: Vec<String>,
    pub(super) counter: u64,
    pub(super) fence: u64,
}

impl Enrolled {
    pub(super) fn read(object: &Value) -> Self {
        let status = &object["status"];
        let serials = status["serials"].as_array();
        Self {
            uid: text(&object["metadata"]["uid"]),
            cluster_uid: text(&object["spec"]["clusterUid"]),
            identity_key: text(&object["spec"]["identityKey"]),
            standing: Standing::of(object),
            serials: serials.map_or_else(Vec::new, |list| list.iter().map(text).collect()),
            counter: status["renewCounter"].as_u64().unwrap_or(0),
            fence: status["fence"].as_u64().unwrap_or(0),
        }
    }

    /// Adds a serial and drops what is too old.
    pub(super) fn push_serial(&mut self, serial: String) {
        self.serials.push(serial);
        let excess = self.serials.len().saturating_sub(SERIALS_KEPT);
        self.serials.drain(..excess);
    }

    /// Writes what was issued into the object's status.
    pub(super) fn write_status(&self, object: &mut Value) {
        object["status"]["serials"] = json!(self.serials);
        object["status"]["renewCounter"] = json!(self.counter);
        object["status"]["fence"] = json!(self.fence);
    }
}

/// A new Enrolment.
pub(super) fn new_enrolment(cluster: &str, cluster_uid: &str, identity_key: &str) -> Value {
    json!({
        "apiVersion": ENROLMENT.api_version(),
        "kind": ENROLMENT.kind,
        "metadata": { "name": cluster },
        "spec": {
            "clusterUid": cluster_uid,
            "identityKey": identity_key,
            "state": Standing::Active.word(),
        },
    })
}

/// A new object's envelope.
pub(super) fn envelope(kind: Kind, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}
