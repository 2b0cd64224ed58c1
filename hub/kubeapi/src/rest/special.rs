//! The few paths that are not objects of their kind: reviews, evictions, bindings, finalize.
//!
//! Everything that is here is a posted question or command; storing goes through the pipeline.

use serde_json::{Value, json};

use super::options::{DeleteOptions, WriteOptions};
use super::pipeline::{Changed, Origin, answer};
use super::update::check_name;
use super::{Call, Engine, Verb, create, meta};
use crate::auth::reviews::{self, Asker};
use crate::error::Status;
use crate::http::answer::{Answer, Payload};
use crate::http::body;

/// Audience of this server's own tokens.
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

impl Engine {
    /// Answers a path of this file; none = it is an ordinary one.
    pub(super) async fn special(&self, verb: Verb, call: &Call) -> Option<Result<Answer, Status>> {
        let kind = &*call.kind;
        let part = call.target.subresource.as_str();
        match (kind.group.as_str(), kind.plural.as_str(), part, verb) {
            ("authentication.k8s.io" | "authorization.k8s.io", _, "", Verb::Create) => {
                Some(self.review(call))
            }
            ("", "pods", "eviction", Verb::Create) => Some(self.eviction(call).await),
            ("", "pods", "binding", Verb::Create) => Some(self.bind(call).await),
            ("", "bindings", "", Verb::Create) => Some(self.bind(call).await),
            ("", "serviceaccounts", "token", _) => {
                let text = "the server does not issue tokens of service accounts";
                Some(Err(Status::new(405, "MethodNotAllowed", text)))
            }
            ("", "pods", "log", Verb::Get) => Some(self.log(call)),
            ("", _, "attach" | "exec" | "portforward" | "proxy", _) => {
                let text = "the server has no nodes to pass this on to";
                Some(Err(Status::new(405, "MethodNotAllowed", text)))
            }
            ("", "namespaces", "finalize", Verb::Update) => Some(self.finalize(call).await),
            _ => None,
        }
    }

    fn review(&self, call: &Call) -> Result<Answer, Status> {
        let options = WriteOptions::read(call, "CreateOptions")?;
        let review = self.decoded(call, &options)?;
        let review = self.owned(call, &options, None, review);
        let audiences = [AUDIENCE.to_owned()];
        let now = meta::now();
        let asker = Asker {
            user: &call.user,
            namespace: &call.target.namespace,
            rbac: &self.rbac,
            authenticator: &self.authenticator,
            audiences: &audiences,
            now: &now,
        };
        let answered = reviews::answer(&call.kind.kind, review, &asker);
        let answered = answered.ok_or_else(|| Status::internal("no such review"))??;
        Ok(Answer::object(201, answered))
    }

    async fn eviction(&self, call: &Call) -> Result<Answer, Status> {
        let media = body::Media::of(&call.content_type)?;
        let eviction = body::read(media, &call.body, ("Eviction", false), &mut Vec::new())?;
        let name = meta::text(&eviction, "name");
        if !name.is_empty() && name != call.target.name {
            let text = "name in URL does not match name in Eviction object";
            return Err(Status::bad_request(text));
        }
        let options = match &eviction["deleteOptions"] {
            Value::Null => DeleteOptions::default(),
            options => DeleteOptions::from_object(options)?,
        };
        self.evict(call, &options).await?;
        Ok(Answer::object(201, success(201)))
    }

    async fn bind(&self, call: &Call) -> Result<Answer, Status> {
        let media = body::Media::of(&call.content_type)?;
        let binding = body::read(media, &call.body, ("Binding", false), &mut Vec::new())?;
        let target = &binding["target"];
        let kind = target["kind"].as_str().unwrap_or_default();
        if !matches!(kind, "" | "Node") {
            let text = format!(
                "target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\""
            );
            return Err(Status::new(500, "", text));
        }
        let node = target["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(Status::new(500, "", "target.name: Required value"));
        }
        let options = WriteOptions::read(call, "CreateOptions")?;
        let mut pod = call.clone();
        pod.kind = self
            .row("", "v1", "pods")
            .ok_or_else(|| Status::internal("there is no kind of pods"))?;
        if pod.target.name.is_empty() {
            meta::text(&binding, "name").clone_into(&mut pod.target.name);
        }
        pod.target.subresource = "binding".to_owned();
        let altered = self.alter(&pod, &options, |live| {
            let object = bound(live, &binding, node)?;
            Ok(Changed {
                object,
                origin: Origin::Bare,
            })
        });
        altered.await?.ok_or_else(|| create::missing(&pod))?;
        Ok(Answer::object(201, success(201)))
    }

    /// The log of a pod that runs nowhere is empty; nobody here has the log of another.
    fn log(&self, call: &Call) -> Result<Answer, Status> {
        let live = self.live(call)?.ok_or_else(|| create::missing(call))?;
        let name = &call.target.name;
        let wanted = call.query.get("container");
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        let known = lists.iter().any(|list| {
            let list = live.value["spec"][*list].as_array();
            list.into_iter().flatten().any(|one| one["name"] == wanted)
        });
        if !wanted.is_empty() && !known {
            let text = format!("container {wanted} is not valid for pod {name}");
            return Err(Status::bad_request(text));
        }
        if live.value["spec"]["nodeName"].is_string() {
            let text = "the server has no nodes to ask for logs";
            return Err(Status::new(405, "MethodNotAllowed", text));
        }
        let nothing = Payload::Bytes(String::new(), bytes::Bytes::new());
        Ok(Answer::of(204, nothing))
    }

    async fn finalize(&self, call: &Call) -> Result<Answer, Status> {
        let options = WriteOptions::read(call, "UpdateOptions")?;
        let sent = self.decoded(call, &options)?;
        check_name(call, &sent)?;
        let altered = self.alter(call, &options, |live| {
            let said = meta::text(&sent, "resourceVersion");
            super::update::check_resource_version(&call.kind, live, said, false)?;
            let mut object = live.clone();
            match sent["spec"]["finalizers"].as_array() {
                Some(list) if !list.is_empty() => object["spec"]["finalizers"] = json!(list),
                _ => object["spec"] = json!({}),
            }
            Ok(Changed {
                object,
                origin: Origin::Plain,
            })
        });
        let written = altered.await?.ok_or_else(|| create::missing(call))?;
        answer(call, &written)
    }
}

/// The pod on its node.
fn bound(live: &Value, binding: &Value, node: &str) -> Result<Value, Status> {
    let name = meta::text(live, "name");
    let present = live["spec"]["nodeName"].as_str().unwrap_or_default();
    if !present.is_empty() {
        let why = format!("pod {name} is already assigned to node \"{present}\"");
        return Err(Status::conflict("", "pods/binding", name, &why));
    }
    if meta::is_deleting(live) {
        let why = format!("pod {name} is being deleted, cannot be assigned to a host");
        return Err(Status::conflict("", "pods/binding", name, &why));
    }
    let mut pod = live.clone();
    pod["spec"]["nodeName"] = json!(node);
    let notes = binding["metadata"]["annotations"].as_object();
    for (key, value) in notes.into_iter().flatten() {
        let known = &mut pod["metadata"]["annotations"];
        if known.is_null() {
            *known = json!({});
        }
        known[key] = value.clone();
    }
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": meta::now()}),
    );
    pod["status"]["conditions"] = Value::Array(conditions);
    Ok(pod)
}

fn success(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "code": code})
}
