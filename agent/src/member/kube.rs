//! The member's real API, over HTTP. The only file of the agent that names `kube`.
//!
//! Requests are built here, so that preconditions, managers and headers are exactly what the rules
//! want. Failures are classified once, in `classify`.

use std::time::Duration;

use axum::http::{Method, Request};
use flotilla_policy::model::manifest;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{Status, WatchEvent};
use serde_json::{Value, json};

use super::{
    At, Call, Class, Deleted, Gvk, Kind, MemberApi, MemberError, Precondition, Seen, Served, Write,
    version_of,
};

/// A call that takes longer is given up; webhooks may take ten seconds each.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Objects of one page of a list: keeps answers below a few MiB.
const PAGE: usize = 500;
/// The API server ends a watch after this; it is resumed without a list.
const WATCH_LIFE_S: u32 = 290;
/// The manager of everything the agent writes.
const MANAGER: &str = "flotilla";

/// The member over HTTP.
#[derive(Clone)]
pub struct KubeMember {
    client: Client,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the member's API cannot be reached: {what}")]
pub struct ConnectError {
    what: String,
}

impl KubeMember {
    /// From a kubeconfig file, or from inside the cluster when none is named.
    ///
    /// # Errors
    /// When the file is broken, or this is not inside a cluster.
    pub async fn connect(kubeconfig: Option<&std::path::Path>) -> Result<Self, ConnectError> {
        let config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|e| failed(&e))?;
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|e| failed(&e))?
            }
            None => kube::Config::incluster().map_err(|e| failed(&e))?,
        };
        let client = Client::try_from(config).map_err(|e| failed(&e))?;
        Ok(Self { client })
    }

    async fn call(
        &self,
        verb: &'static str,
        target: &str,
        request: Result<Request<Vec<u8>>, MemberError>,
    ) -> Result<Value, MemberError> {
        let answer = self.client.request::<Value>(request?);
        match tokio::time::timeout(CALL_MAX, answer).await {
            Ok(answer) => answer.map_err(|e| classify(verb, target, e)),
            Err(_) => Err(MemberError::new(
                Class::Retry,
                verb,
                target,
                "no answer in time",
            )),
        }
    }
}

fn failed(error: &dyn std::error::Error) -> ConnectError {
    let mut what = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        what = format!("{what}: {inner}");
        source = inner.source();
    }
    ConnectError { what }
}

fn collection(kind: &Kind, namespace: &str) -> String {
    let root = if kind.gvk.group.is_empty() {
        format!("/api/{}", kind.gvk.version)
    } else {
        format!("/apis/{}/{}", kind.gvk.group, kind.gvk.version)
    };
    if kind.namespaced && !namespace.is_empty() {
        format!("{root}/namespaces/{}/{}", escape(namespace), kind.plural)
    } else {
        format!("{root}/{}", kind.plural)
    }
}

fn path(at: &At) -> String {
    let collection = collection(&at.kind, &at.namespace);
    format!("{collection}/{}", escape(&at.name))
}

/// Percent-encodes a path segment or query value; names of RBAC objects may hold `:`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn request(
    method: Method,
    uri: &str,
    content_type: &str,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, MemberError> {
    let broken = |detail: &str| MemberError::new(Class::Invalid, "build", uri, detail);
    let bytes = body.map(serde_json::to_vec).transpose();
    let bytes = bytes.map_err(|e| broken(&e.to_string()))?;
    Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", content_type)
        .body(bytes.unwrap_or_default())
        .map_err(|e| broken(&e.to_string()))
}

fn get_request(uri: &str, accept: &str) -> Result<Request<Vec<u8>>, MemberError> {
    Request::builder()
        .uri(uri)
        .header("accept", accept)
        .body(Vec::new())
        .map_err(|e| MemberError::new(Class::Invalid, "build", uri, &e.to_string()))
}

/// Refusals that the API server tells apart in words only; the first that occurs counts.
const WORDS: [(&str, Class); 4] = [
    ("admission webhook", Class::MemberPolicy),
    ("ValidatingAdmissionPolicy", Class::MemberPolicy),
    ("exceeded quota", Class::MemberPolicy),
    ("violates PodSecurity", Class::MemberPolicy),
];

fn classify(verb: &'static str, target: &str, error: kube::Error) -> MemberError {
    match error {
        kube::Error::Api(status) => {
            MemberError::new(class_of(verb, &status), verb, target, &status.message)
        }
        kube::Error::SerdeError(e) => MemberError::new(
            Class::Retry,
            verb,
            target,
            &format!("unreadable answer: {e}"),
        ),
        other => MemberError::new(Class::Retry, verb, target, &failed(&other).what),
    }
}

fn class_of(verb: &str, status: &Status) -> Class {
    let details = status.details.as_ref();
    let causes = details.into_iter().flat_map(|d| &d.causes);
    let terminating = causes.clone().any(|c| c.reason == "NamespaceTerminating");
    let after = details.map_or(0, |d| d.retry_after_seconds);
    if (status.code == 429 || status.code >= 500) && after > 0 {
        return Class::RetryAfter(Duration::from_secs(after.into()));
    }
    let refused = status.code >= 400 && status.code < 500;
    let worded = WORDS.iter().find(|(word, _)| status.message.contains(word));
    if let Some((_, class)) = worded.filter(|_| refused) {
        return *class;
    }
    match status.code {
        _ if terminating => Class::Retry,
        404 => not_found(details.map_or(("", ""), |d| (&d.kind, &d.name))),
        409 if verb == "create" && status.reason == "AlreadyExists" => Class::Exists,
        409 => Class::Conflict,
        410 => Class::Expired,
        413 => Class::TooLarge,
        400 | 405 | 406 | 415 | 422 => Class::Invalid,
        403 => Class::Denied,
        429 => Class::RetryAfter(Duration::from_secs(1)),
        _ => Class::Retry,
    }
}

/// Without the name of an object it was the path that was not found.
fn not_found((kind, name): (&str, &str)) -> Class {
    match (kind, name) {
        (_, "") => Class::UnknownKind,
        ("namespaces", _) => Class::NamespaceMissing,
        _ => Class::NotFound,
    }
}

impl MemberApi for KubeMember {
    fn get<'a>(&'a self, at: &'a At) -> Call<'a, Option<Value>> {
        Box::pin(async move {
            let uri = path(at);
            let request = get_request(&uri, "application/json");
            match self.call("get", &at.to_string(), request).await {
                Ok(object) => Ok(Some(object)),
                Err(e) if matches!(e.class, Class::NotFound | Class::NamespaceMissing) => Ok(None),
                Err(e) => Err(e),
            }
        })
    }

    fn create<'a>(&'a self, at: &'a At, object: &'a Value) -> Call<'a, Value> {
        Box::pin(async move {
            let uri = collection(&at.kind, &at.namespace);
            let uri = format!("{uri}?fieldManager={MANAGER}");
            let request = request(Method::POST, &uri, "application/json", Some(object));
            self.call("create", &at.to_string(), request).await
        })
    }

    fn write<'a>(&'a self, at: &'a At, object: &'a Value, how: Write) -> Call<'a, Value> {
        Box::pin(async move {
            let uri = format!("{}?fieldManager={MANAGER}", path(at));
            let apply = "application/apply-patch+yaml";
            let (method, uri, content_type) = match how {
                Write::Apply => (Method::PATCH, uri, apply),
                Write::ApplyForce => (Method::PATCH, format!("{uri}&force=true"), apply),
                Write::Merge => (Method::PATCH, uri, "application/merge-patch+json"),
                Write::Replace => (Method::PUT, uri, "application/json"),
            };
            let request = request(method, &uri, content_type, Some(object));
            self.call("write", &at.to_string(), request).await
        })
    }

    fn delete<'a>(&'a self, at: &'a At, only: &'a Precondition) -> Call<'a, Deleted> {
        Box::pin(async move {
            let options = json!({
                "kind": "DeleteOptions", "apiVersion": "v1",
                "propagationPolicy": "Background",
                "preconditions": {"uid": only.uid, "resourceVersion": only.resource_version},
            });
            let request = request(
                Method::DELETE,
                &path(at),
                "application/json",
                Some(&options),
            );
            match self.call("delete", &at.to_string(), request).await {
                // A Status says that it is done; the object itself that something holds it.
                Ok(answer) if manifest::uid(&answer) == only.uid => Ok(Deleted::Terminating),
                Ok(_) => Ok(Deleted::Gone),
                Err(e) if matches!(e.class, Class::NotFound | Class::NamespaceMissing) => {
                    Ok(Deleted::Gone)
                }
                Err(e) => Err(e),
            }
        })
    }

    fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        labels: &'a str,
        limit: usize,
    ) -> Call<'a, Vec<Value>> {
        Box::pin(async move {
            let (items, _) = list(self, kind, namespace, labels, limit).await?;
            Ok(items)
        })
    }

    fn watch(&self, kind: &Kind, labels: &str) -> BoxStream<'static, Result<Seen, MemberError>> {
        let watch = Watch {
            member: self.clone(),
            kind: kind.clone(),
            labels: labels.to_owned(),
            version: String::new(),
            events: None,
        };
        stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(seen) => Some((Ok(seen), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    fn discover(&self) -> Call<'_, Vec<Served>> {
        Box::pin(async move {
            let mut served = Vec::new();
            for root in ["/api", "/apis"] {
                let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                let answer = self
                    .call("discover", root, get_request(root, accept))
                    .await?;
                if manifest::kind(&answer) != "APIGroupDiscoveryList" {
                    let text = "the member's API server is older than 1.30";
                    return Err(MemberError::new(Class::Invalid, "discover", root, text));
                }
                read_groups(&answer, &mut served);
            }
            Ok(served)
        })
    }

    fn version(&self) -> Call<'_, String> {
        Box::pin(async move {
            let request = get_request("/version", "application/json");
            let answer = self.call("get", "/version", request).await?;
            Ok(manifest::text(&answer, &["gitVersion"]).to_owned())
        })
    }
}

async fn list(
    member: &KubeMember,
    kind: &Kind,
    namespace: &str,
    labels: &str,
    limit: usize,
) -> Result<(Vec<Value>, String), MemberError> {
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let page = if limit == 0 { PAGE } else { limit.min(PAGE) };
        let uri = format!(
            "{}?limit={page}&labelSelector={}&continue={}",
            collection(kind, namespace),
            escape(labels),
            escape(&next),
        );
        let request = get_request(&uri, "application/json");
        let mut answer = member.call("list", &kind.gvk.to_string(), request).await?;
        let Some(Value::Array(page)) = answer.get_mut("items").map(Value::take) else {
            // Never mistake a strange answer for an empty list.
            let text = "answer is no list";
            return Err(MemberError::new(Class::Retry, "list", &kind.gvk, text));
        };
        items.extend(page.into_iter().map(|mut item| {
            // Items of a list leave their type out.
            item["apiVersion"] = kind.gvk.api_version().into();
            item["kind"] = kind.gvk.kind.clone().into();
            item
        }));
        next = manifest::text(&answer, &["metadata", "continue"]).to_owned();
        if next.is_empty() || limit != 0 && items.len() >= limit {
            return Ok((items, version_of(&answer).to_owned()));
        }
    }
}

type Events = BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>;

/// A watch that begins with a list and is resumed by version whenever the server ends it.
struct Watch {
    member: KubeMember,
    kind: Kind,
    labels: String,
    version: String,
    events: Option<Events>,
}

impl Watch {
    async fn next(&mut self) -> Result<Seen, MemberError> {
        if self.version.is_empty() {
            let (all, version) = list(&self.member, &self.kind, "", &self.labels, 0).await?;
            self.version = version;
            return Ok(Seen::All(all));
        }
        let target = self.kind.gvk.to_string();
        loop {
            let events = match &mut self.events {
                Some(events) => events,
                None => {
                    let events = self.start().await?;
                    self.events.insert(events)
                }
            };
            let Some(event) = events.next().await else {
                self.events = None;
                continue;
            };
            match event.map_err(|e| classify("watch", &target, e))? {
                WatchEvent::Added(o) | WatchEvent::Modified(o) => {
                    version_of(&o).clone_into(&mut self.version);
                    return Ok(Seen::Is(o));
                }
                WatchEvent::Deleted(o) => {
                    version_of(&o).clone_into(&mut self.version);
                    return Ok(Seen::Went(o));
                }
                WatchEvent::Bookmark(mark) => self.version = mark.metadata.resource_version,
                WatchEvent::Error(status) => {
                    let class = class_of("watch", &status);
                    return Err(MemberError::new(class, "watch", target, &status.message));
                }
            }
        }
    }

    async fn start(&mut self) -> Result<Events, MemberError> {
        let uri = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_LIFE_S}&labelSelector={}&resourceVersion={}",
            collection(&self.kind, ""),
            escape(&self.labels),
            escape(&self.version),
        );
        let target = self.kind.gvk.to_string();
        let request = get_request(&uri, "application/json")?;
        let answer = self.member.client.request_events::<Value>(request);
        match tokio::time::timeout(CALL_MAX, answer).await {
            Ok(Ok(events)) => Ok(events.boxed()),
            Ok(Err(e)) => Err(classify("watch", &target, e)),
            Err(_) => Err(MemberError::new(
                Class::Retry,
                "watch",
                target,
                "no answer in time",
            )),
        }
    }
}

fn has_verb(resource: &Value, verb: &str) -> bool {
    let verbs = resource["verbs"].as_array();
    verbs.is_some_and(|verbs| verbs.iter().any(|v| v.as_str() == Some(verb)))
}

fn read_groups(answer: &Value, served: &mut Vec<Served>) {
    for group in answer["items"].as_array().into_iter().flatten() {
        let name = manifest::name(group);
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = manifest::text(version, &["version"]);
            let group_version = if name.is_empty() {
                version_name.to_owned()
            } else {
                format!("{name}/{version_name}")
            };
            let resources = version["resources"].as_array().into_iter().flatten();
            let kinds = resources
                .map(|r| Kind {
                    gvk: Gvk::new(&group_version, manifest::text(r, &["responseKind", "kind"])),
                    plural: manifest::text(r, &["resource"]).to_owned(),
                    namespaced: manifest::text(r, &["scope"]) == "Namespaced",
                    listable: has_verb(r, "list") && has_verb(r, "watch"),
                })
                .collect();
            served.push(Served {
                group_version,
                kinds,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_status(code: u16, reason: &str, message: &str, details: (&str, &str)) -> Status {
        serde_json::from_value(json!({
            "code": code, "reason": reason, "message": message,
            "details": {"kind": details.0, "name": details.1},
        }))
        .expect("a status")
    }

    #[test]
    fn answers_have_their_class() {
        let check = |code, reason: &str, message: &str, details, want| {
            let status = mk_status(code, reason, message, details);
            assert_eq!(class_of("create", &status), want, "{code} {message}");
        };
        let none = ("", "");
        check(
            404,
            "NotFound",
            "",
            ("namespaces", "n"),
            Class::NamespaceMissing,
        );
        check(404, "NotFound", "", ("configmaps", "n"), Class::NotFound);
        check(
            404,
            "NotFound",
            "the server could not find",
            none,
            Class::UnknownKind,
        );
        check(409, "AlreadyExists", "", ("configmaps", "n"), Class::Exists);
        check(409, "Conflict", "", ("configmaps", "n"), Class::Conflict);
        check(422, "Invalid", "immutable", none, Class::Invalid);
        check(403, "Forbidden", "cannot create", none, Class::Denied);
        let quota = "pods \"a\" is forbidden: exceeded quota: q";
        check(403, "Forbidden", quota, none, Class::MemberPolicy);
        let webhook = "admission webhook \"w\" denied the request: no";
        check(400, "", webhook, none, Class::MemberPolicy);
        check(500, "InternalError", webhook, none, Class::Retry);
        check(503, "ServiceUnavailable", "", none, Class::Retry);
    }

    #[test]
    fn paths_have_group_and_namespace() {
        let kind = Kind::lease();
        let uri = path(&At::new(kind, "ns", "a:b"));
        assert_eq!(
            uri,
            "/apis/coordination.k8s.io/v1/namespaces/ns/leases/a%3Ab"
        );
        assert_eq!(
            path(&At::new(Kind::node(), "ignored", "n")),
            "/api/v1/nodes/n"
        );
    }
}
