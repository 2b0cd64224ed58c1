//! Admission of our kinds at a real front door: its API server calls these webhooks before it stores.
//!
//! Decides with `policy::api::admit`, who may write a binding's spec, and whether a protected object
//! may be deleted. Stores nothing. Every replica of the hub serves it. What slips past it (webhooks
//! off) is normalised and checked again on read.

mod serve;
mod write_guard;

use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flotilla_policy::api::{Admission, AdmissionContext, FieldError, admit, registry};
use flotilla_policy::model::marks::DELETION_PROTECTED;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use serve::serve;
pub use write_guard::{AskDoor, MayWrite, SubjectAccess};

/// Path of the webhook that fills defaults and refuses.
pub const ADMIT_PATH: &str = "/admit";
/// Path of the webhook that keeps protected objects.
pub const PROTECT_PATH: &str = "/protect";
/// Objects above this are no policies.
const BODY_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, Deserialize)]
struct Review {
    request: Request,
}

/// The parts of an AdmissionRequest that decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    uid: String,
    kind: GroupKind,
    operation: String,
    sub_resource: String,
    user_info: UserInfo,
    object: Option<Value>,
    old_object: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct GroupKind {
    group: String,
    kind: String,
}

/// Who asks, as the front door authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// User name.
    pub username: String,
    /// UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whatever else the authenticator said.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The verdict on one request.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Allowed {
        changed: Option<Value>,
        warnings: Vec<String>,
    },
    Denied {
        code: u16,
        message: String,
    },
}

/// The router of the webhooks; `access` answers who may write bindings.
pub fn router<A: SubjectAccess>(access: Arc<A>) -> Router {
    Router::new()
        .route(ADMIT_PATH, post(admit_review::<A>))
        .route(PROTECT_PATH, post(protect_review))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(access)
}

async fn admit_review<A: SubjectAccess>(
    State(access): State<Arc<A>>,
    Json(review): Json<Review>,
) -> Json<Value> {
    let verdict = decide(&review.request, |user| {
        write_guard::may_write(&*access, user)
    })
    .await;
    Json(answer(&review.request, verdict))
}

async fn protect_review(Json(review): Json<Review>) -> Json<Value> {
    let verdict = protect(&review.request);
    Json(answer(&review.request, verdict))
}

async fn decide<F: Future<Output = MayWrite>>(
    request: &Request,
    may_write: impl FnOnce(UserInfo) -> F,
) -> Verdict {
    let allowed = |changed, warnings| Verdict::Allowed { changed, warnings };
    let (Some(object), "") = (&request.object, request.sub_resource.as_str()) else {
        return allowed(None, Vec::new());
    };
    let Some(kind) = registry::find(&request.kind.group, &request.kind.kind) else {
        return allowed(None, Vec::new());
    };
    if write_guard::is_guarded(request) {
        if let Err(error) = write_guard::points_home(object) {
            return denied(&[error]);
        }
        if let MayWrite::No(message) = may_write(request.user_info.clone()).await {
            return Verdict::Denied { code: 403, message };
        }
    }
    let uuid = uuid::Uuid::new_v4().to_string();
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let ctx = AdmissionContext {
        uuid: &uuid,
        now: &now,
    };
    match admit(kind, object.clone(), request.old_object.as_ref(), &ctx) {
        Admission::Allowed {
            object: new,
            warnings,
        } => allowed((new != *object).then_some(new), warnings),
        Admission::Denied { errors } => denied(&errors),
    }
}

fn denied(errors: &[FieldError]) -> Verdict {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let message = texts.join("; ");
    Verdict::Denied { code: 422, message }
}

fn protect(request: &Request) -> Verdict {
    let label = request
        .old_object
        .as_ref()
        .and_then(|o| o["metadata"]["labels"][DELETION_PROTECTED].as_str());
    if request.operation == "DELETE" && label == Some("Always") {
        return Verdict::Denied {
            code: 403,
            message: format!(
                "this object is protected from deletion: remove its label {DELETION_PROTECTED} first"
            ),
        };
    }
    Verdict::Allowed {
        changed: None,
        warnings: Vec::new(),
    }
}

fn answer(request: &Request, verdict: Verdict) -> Value {
    let mut response = match verdict {
        Verdict::Denied { code, message } => json!({
            "allowed": false,
            "status": {"code": code, "message": message},
        }),
        Verdict::Allowed { changed, warnings } => {
            let mut response = json!({"allowed": true, "warnings": warnings});
            if let (Some(new), Some(old)) = (changed, &request.object) {
                response["patchType"] = "JSONPatch".into();
                response["patch"] = STANDARD.encode(patch(old, &new).to_string()).into();
            }
            response
        }
    };
    response["uid"] = request.uid.clone().into();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// The top-level fields that differ, as one JSON patch.
fn patch(old: &Value, new: &Value) -> Value {
    let empty = Map::new();
    let (old, new) = (
        old.as_object().unwrap_or(&empty),
        new.as_object().unwrap_or(&empty),
    );
    let set = new
        .iter()
        .filter(|(field, value)| old.get(*field) != Some(value))
        .map(|(field, value)| json!({"op": "add", "path": format!("/{field}"), "value": value}));
    let gone = old
        .keys()
        .filter(|field| !new.contains_key(*field))
        .map(|field| json!({"op": "remove", "path": format!("/{field}")}));
    set.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_request(kind: (&str, &str), operation: &str, object: Value) -> Request {
        Request {
            uid: "u".to_owned(),
            kind: GroupKind {
                group: kind.0.to_owned(),
                kind: kind.1.to_owned(),
            },
            operation: operation.to_owned(),
            object: Some(object),
            ..Request::default()
        }
    }

    fn mk_policy(spec: Value) -> Value {
        json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
        })
    }

    fn mk_binding(namespace: &str) -> Value {
        json!({
            "apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
            "metadata": {"name": "web-deployment", "namespace": "shop"},
            "spec": {"resource": {"apiVersion": "apps/v1", "kind": "Deployment",
                "namespace": namespace, "name": "web", "uid": "t"}},
        })
    }

    const POLICY: (&str, &str) = ("policy.karmada.io", "PropagationPolicy");
    const BINDING: (&str, &str) = ("work.karmada.io", "ResourceBinding");

    async fn decided(request: &Request, may: MayWrite) -> Verdict {
        decide(request, |_| async { may }).await
    }

    #[tokio::test]
    async fn defaults_come_back_as_a_patch_of_the_fields_that_differ() {
        let spec = json!({"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}]});
        let request = mk_request(POLICY, "CREATE", mk_policy(spec));
        let verdict = decided(&request, MayWrite::Yes).await;
        let answered = answer(&request, verdict);
        assert_eq!(answered["response"]["allowed"], true);
        let patch = answered["response"]["patch"].as_str().unwrap();
        let patch: Value = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        let spec = &patch
            .as_array()
            .unwrap()
            .iter()
            .find(|o| o["path"] == "/spec")
            .unwrap()["value"];
        assert_eq!(spec["resourceSelectors"][0]["namespace"], "shop");
    }

    #[tokio::test]
    async fn what_is_wrong_is_refused_by_the_fields_name() {
        let request = mk_request(
            POLICY,
            "CREATE",
            mk_policy(json!({"resourceSelectors": []})),
        );
        let Verdict::Denied { code, message } = decided(&request, MayWrite::Yes).await else {
            panic!("an empty list of selectors is refused");
        };
        assert_eq!(code, 422);
        assert!(message.starts_with("spec.resourceSelectors"), "{message}");
    }

    #[tokio::test]
    async fn a_binding_is_written_by_schedulers_only_and_stays_in_its_namespace() {
        let request = mk_request(BINDING, "CREATE", mk_binding("shop"));
        let no = MayWrite::No("no".to_owned());
        assert!(matches!(
            decided(&request, no.clone()).await,
            Verdict::Denied { code: 403, .. }
        ));
        assert!(matches!(
            decided(&request, MayWrite::Yes).await,
            Verdict::Allowed { .. }
        ));
        let foreign = mk_request(BINDING, "CREATE", mk_binding("kube-system"));
        assert!(matches!(
            decided(&foreign, MayWrite::Yes).await,
            Verdict::Denied { code: 422, .. }
        ));
        let mut labelled = mk_binding("shop");
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let mut request = mk_request(BINDING, "UPDATE", labelled);
        request.old_object = Some(mk_binding("shop"));
        assert!(
            matches!(decided(&request, no).await, Verdict::Allowed { .. }),
            "a label is no decision"
        );
    }

    #[test]
    fn a_protected_object_stays() {
        let object = json!({"metadata": {"labels": {DELETION_PROTECTED: "Always"}}});
        let mut request = Request {
            operation: "DELETE".to_owned(),
            old_object: Some(object),
            ..Request::default()
        };
        assert!(matches!(
            protect(&request),
            Verdict::Denied { code: 403, .. }
        ));
        request.old_object = Some(json!({"metadata": {"labels": {DELETION_PROTECTED: "Never"}}}));
        assert!(matches!(protect(&request), Verdict::Allowed { .. }));
    }
}
