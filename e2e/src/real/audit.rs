//! Reads the audit log of a real API server and counts its requests.
//!
//! It decides what one request is: one answered request is one event (a watch counts when it
//! starts, everything else when it is complete). It never writes to the log and never reads a
//! line that is not finished. The server writes a line within milliseconds of the answer, so a
//! mark taken right after a request may lie before that request's line: take marks in quiet.

use super::RealError;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// The audit log of one API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in an audit log; requests are counted between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark {
    offset: u64,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey {
    /// Who asked; the impersonated user when there is one.
    pub user: String,
    /// The verb, as RBAC knows it: get, list, watch, create, update, patch, delete, ...
    pub verb: String,
    /// The resource as RBAC knows it (`deployments.apps/status`, `pods`), or the path of a
    /// request that is for none (`/readyz`).
    pub resource: String,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked for what.
    pub key: AuditKey,
    /// Groups of who asked.
    pub groups: Vec<String>,
    /// Namespace of the object, empty for those without.
    pub namespace: String,
    /// Name of the object, empty for collections.
    pub name: String,
    /// Status code of the answer.
    pub code: u16,
    /// What the client calls itself.
    pub user_agent: String,
}

/// Numbers of requests between two marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCounts(BTreeMap<AuditKey, u64>);

impl AuditLog {
    /// The log at `path`; it may not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log's present end.
    pub fn mark(&self) -> Result<AuditMark, RealError> {
        let (_, end) = self.lines_from(AuditMark { offset: 0 }, None)?;
        Ok(end)
    }

    /// The log's present end, found without reading what lies before `start`.
    pub fn mark_after(&self, start: AuditMark) -> Result<AuditMark, RealError> {
        let (_, end) = self.lines_from(start, None)?;
        Ok(end)
    }

    /// The requests from `start` up to `end`, or up to the log's present end.
    pub fn events(
        &self,
        start: AuditMark,
        end: Option<AuditMark>,
    ) -> Result<Vec<AuditEvent>, RealError> {
        let (text, _) = self.lines_from(start, end)?;
        let mut events = Vec::new();
        let mut offset = start.offset;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let raw: RawEvent = serde_json::from_slice(line)
                .map_err(|source| RealError::AuditEvent { offset, source })?;
            offset += line.len() as u64;
            events.extend(raw.into_request());
        }
        Ok(events)
    }

    /// Counts the requests between two marks.
    pub fn between(&self, start: AuditMark, end: AuditMark) -> Result<AuditCounts, RealError> {
        Ok(self.events(start, Some(end))?.into_iter().collect())
    }

    /// Counts the requests since a mark.
    pub fn since(&self, start: AuditMark) -> Result<AuditCounts, RealError> {
        Ok(self.events(start, None)?.into_iter().collect())
    }

    /// The finished lines between two offsets, and where they end.
    fn lines_from(
        &self,
        start: AuditMark,
        end: Option<AuditMark>,
    ) -> Result<(Vec<u8>, AuditMark), RealError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), start)),
            Err(error) => return Err(RealError::file("open", &self.path)(error)),
        };
        let length_max = end.map_or(u64::MAX, |end| end.offset.saturating_sub(start.offset));
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(start.offset))
            .and_then(|_| file.take(length_max).read_to_end(&mut text))
            .map_err(RealError::file("read", &self.path))?;
        let finished = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        text.truncate(finished);
        Ok((
            text,
            AuditMark {
                offset: start.offset + finished as u64,
            },
        ))
    }
}

impl AuditKey {
    /// Whether the request may change something at the server.
    pub fn is_write(&self) -> bool {
        let asks_only = [
            "tokenreviews",
            "accessreviews",
            "rulesreviews",
            "selfsubjectreviews",
        ];
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        writes.contains(&self.verb.as_str())
            && !asks_only
                .iter()
                .any(|resource| self.resource.contains(resource))
    }
}

impl AuditCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The requests that may change something, of everybody.
    pub fn writes(&self) -> u64 {
        self.count(AuditKey::is_write)
    }

    /// The requests of one user.
    pub fn by_user(&self, user: &str) -> Self {
        self.only(|key| key.user == user)
    }

    /// The requests with one verb for one resource.
    pub fn of(&self, verb: &str, resource: &str) -> u64 {
        self.count(|key| key.verb == verb && key.resource == resource)
    }

    /// The number of requests whose key passes.
    pub fn count(&self, passes: impl Fn(&AuditKey) -> bool) -> u64 {
        self.iter()
            .filter(|(key, _)| passes(key))
            .map(|(_, count)| count)
            .sum()
    }

    /// The requests whose key passes.
    pub fn only(&self, passes: impl Fn(&AuditKey) -> bool) -> Self {
        let kept = self.iter().filter(|(key, _)| passes(key));
        Self(kept.map(|(key, count)| (key.clone(), count)).collect())
    }

    /// All keys with their numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&AuditKey, u64)> {
        self.0.iter().map(|(key, count)| (key, *count))
    }
}

impl FromIterator<AuditEvent> for AuditCounts {
    fn from_iter<I: IntoIterator<Item = AuditEvent>>(events: I) -> Self {
        let mut counts = BTreeMap::new();
        for event in events {
            *counts.entry(event.key).or_insert(0) += 1;
        }
        Self(counts)
    }
}

/// One line per key, for the message of a failed assertion.
impl fmt::Display for AuditCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            AuditKey {
                user,
                verb,
                resource,
            },
            count,
        ) in self.iter()
        {
            writeln!(f, "{count:<7} {verb:<8} {resource:<40} {user}")?;
        }
        Ok(())
    }
}

/// What is read of an `audit.k8s.io/v1` event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: RawUser,
    impersonated_user: Option<RawUser>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<RawObject>,
    response_status: Option<RawStatus>,
}

#[derive(Deserialize)]
struct RawUser {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawObject {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize)]
struct RawStatus {
    #[serde(default)]
    code: u16,
}

impl RawEvent {
    fn into_request(self) -> Option<AuditEvent> {
        let counted_at = if self.verb == "watch" {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        if self.stage != counted_at && self.stage != "Panic" {
            return None;
        }
        let path = self
            .request_uri
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let resource = self.object_ref.as_ref().map_or(path, RawObject::resource);
        let user = self.impersonated_user.unwrap_or(self.user);
        let object = self.object_ref.unwrap_or_default();
        Some(AuditEvent {
            key: AuditKey {
                user: user.username,
                verb: self.verb,
                resource,
            },
            groups: user.groups,
            namespace: object.namespace,
            name: object.name,
            code: self.response_status.map_or(0, |status| status.code),
            user_agent: self.user_agent,
        })
    }
}

impl RawObject {
    fn resource(&self) -> String {
        let mut resource = self.resource.clone();
        for (separator, part) in [('.', &self.api_group), ('/', &self.subresource)] {
            if !part.is_empty() {
                resource.push(separator);
                resource.push_str(part);
            }
        }
        resource
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Workdir;
    use expect_test::expect;
    use serde_json::json;
    use std::{fs, io::Write as _};

    fn mk_line(stage: &str, verb: &str, path: &str, extra: serde_json::Value) -> String {
        let mut event = json!({
            "stage": stage, "verb": verb, "requestURI": path, "user": {"username": "agent"},
        });
        let fields = extra.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(fields);
        format!("{event}\n")
    }

    #[test]
    fn counts_whole_requests_between_marks() {
        let workdir = Workdir::create("audit").unwrap();
        let log = AuditLog::new(workdir.path().join("audit.log"));
        let nothing_yet = log.mark().unwrap();
        let status = json!({"objectRef": {
            "resource": "deployments", "apiGroup": "apps", "subresource": "status",
        }});
        let pods = json!({"objectRef": {"resource": "pods"}});
        let before = mk_line("ResponseComplete", "patch", "/x", status.clone());
        fs::write(log.path(), &before).unwrap();
        let start = log.mark().unwrap();

        let review = json!({"objectRef": {"resource": "tokenreviews"}});
        let mut file = fs::File::options().append(true).open(log.path()).unwrap();
        for line in [
            mk_line("ResponseStarted", "watch", "/x", pods.clone()),
            mk_line("ResponseComplete", "watch", "/x", pods),
            mk_line("ResponseComplete", "create", "/x", review),
            mk_line("ResponseComplete", "get", "/readyz?verbose", json!({})),
            mk_line("ResponseComplete", "patch", "/x", status),
            before[..20].to_owned(),
        ] {
            file.write_all(line.as_bytes()).unwrap();
        }
        let end = log.mark().unwrap();
        let counts = log.between(start, end).unwrap();
        assert_eq!(counts, log.since(start).unwrap());
        assert_eq!((counts.total(), counts.writes()), (4, 1));
        assert_eq!(
            counts
                .by_user("agent")
                .of("patch", "deployments.apps/status"),
            1
        );
        assert_eq!(log.since(nothing_yet).unwrap().total(), 5);
        expect![[r#"
            1       create   tokenreviews                             agent
            1       get      /readyz                                  agent
            1       patch    deployments.apps/status                  agent
            1       watch    pods                                     agent
        "#]]
        .assert_eq(&counts.to_string());
    }
}
