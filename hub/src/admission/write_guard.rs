//! Who may write what a binding decides: the hub, or an identity with verb `schedule` on bindings.
//!
//! Decides whether a request changes a decision at all and whether the binding stays in its own
//! namespace; the front door's RBAC answers the rest. An answer that does not come is a no.

use flotilla_policy::api::FieldError;
use futures::future::BoxFuture;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Request, UserInfo};

/// Whether an identity may write decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MayWrite {
    /// It may.
    Yes,
    /// It may not, and why.
    No(String),
}

/// Asks whether a user has verb `schedule` on bindings.
pub trait SubjectAccess: Send + Sync + 'static {
    /// The answer of the front door's authorizer.
    fn may_schedule(&self, user: UserInfo) -> BoxFuture<'_, Result<bool, String>>;
}

/// The front door's SubjectAccessReview.
pub struct AskDoor {
    client: Client,
}

impl AskDoor {
    /// Over an existing client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl SubjectAccess for AskDoor {
    fn may_schedule(&self, user: UserInfo) -> BoxFuture<'_, Result<bool, String>> {
        use k8s_openapi::api::authorization::v1::SubjectAccessReview;
        Box::pin(async move {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "metadata": {},
                "spec": {
                    "user": user.username, "groups": user.groups, "uid": user.uid,
                    "extra": user.extra,
                    "resourceAttributes": {
                        "group": "work.karmada.io", "resource": "resourcebindings", "verb": "schedule",
                    },
                },
            });
            let review: SubjectAccessReview =
                serde_json::from_value(review).map_err(|e| e.to_string())?;
            let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
            let answered = reviews.create(&PostParams::default(), &review).await;
            let answered = answered.map_err(|e| e.to_string())?;
            Ok(answered.status.is_some_and(|status| status.allowed))
        })
    }
}

pub(super) async fn may_write<A: SubjectAccess>(access: &A, user: UserInfo) -> MayWrite {
    let name = user.username.clone();
    match access.may_schedule(user).await {
        Ok(true) => MayWrite::Yes,
        Ok(false) => MayWrite::No(format!(
            "{name} may not decide where templates go: that needs verb schedule on \
             resourcebindings.work.karmada.io; write a PropagationPolicy instead"
        )),
        Err(error) => MayWrite::No(format!("cannot ask who may schedule: {error}")),
    }
}

/// Whether the request writes a decision.
pub(super) fn is_guarded(request: &Request) -> bool {
    let binding = request.kind.group == "work.karmada.io"
        && matches!(
            request.kind.kind.as_str(),
            "ResourceBinding" | "ClusterResourceBinding"
        );
    let decision = |object: &Option<Value>| {
        object.as_ref().map(|o| {
            let annotations = &o["metadata"]["annotations"];
            (
                o["spec"].clone(),
                annotations[flotilla_policy::model::marks::REMOVED].clone(),
                annotations[flotilla_policy::model::marks::TERM].clone(),
            )
        })
    };
    binding && decision(&request.object) != decision(&request.old_object)
}

/// A binding points at a template of its own namespace.
pub(super) fn points_home(binding: &Value) -> Result<(), FieldError> {
    let own = binding["metadata"]["namespace"].as_str().unwrap_or("");
    let resource = &binding["spec"]["resource"];
    if resource["namespace"].as_str().unwrap_or("") != own {
        return Err(FieldError {
            field: "spec.resource.namespace".to_owned(),
            message: format!("must be the binding's own namespace {own:?}"),
        });
    }
    Ok(())
}
