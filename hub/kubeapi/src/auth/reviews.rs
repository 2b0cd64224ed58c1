//! Questions about users and rights, posted as objects: who am I, may I, may they, what may I.
//!
//! Each review is a function of what was posted and of the [`Asker`]; nothing is stored. What was
//! posted has passed decoding, and its `metadata.managedFields` stay as the caller made them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Attributes, Authorizer, User,
    authn::Authenticator,
    rbac::Rbac,
    rules::{Rule, texts},
};
use crate::error::{Cause, Status};

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Who asks, and what answers.
pub struct Asker<'a> {
    /// The user of the request, after impersonation.
    pub user: &'a User,
    /// Namespace of the path; empty = none.
    pub namespace: &'a str,
    /// Says who may do what.
    pub rbac: &'a Rbac,
    /// Knows tokens.
    pub authenticator: &'a Authenticator,
    /// Audiences of this server.
    pub audiences: &'a [String],
    /// RFC 3339 with seconds.
    pub now: &'a str,
}

/// Answers the review of this kind; none = the kind is no review.
pub fn answer(kind: &str, review: Value, asker: &Asker<'_>) -> Option<Result<Value, Status>> {
    Some(match kind {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access(kind, review, asker)
        }
        "SelfSubjectRulesReview" => rules(&review, asker),
        "SelfSubjectReview" => Ok(myself(asker)),
        "TokenReview" => token(review, asker),
        _ => return None,
    })
}

fn access(kind: &str, mut review: Value, asker: &Asker<'_>) -> Result<Value, Status> {
    let found = faults(kind, &review, asker.namespace);
    if !found.is_empty() {
        return Err(Status::invalid(AUTHORIZATION, "", "", found));
    }
    let spec = &review["spec"];
    let named;
    let user = if kind == "SelfSubjectAccessReview" {
        asker.user
    } else {
        named = user_of(spec);
        &named
    };
    let text = |part: &str, key: &str| {
        let value = spec[part][key].as_str();
        value.unwrap_or_default().to_owned()
    };
    let path = text("nonResourceAttributes", "path");
    let of_path = spec["nonResourceAttributes"].is_object();
    let part = if of_path {
        "nonResourceAttributes"
    } else {
        "resourceAttributes"
    };
    let wish = ["verb", "group", "version", "resource", "subresource"].map(|key| text(part, key));
    let [verb, group, version, resource, subresource] = &wish;
    let (namespace, name) = (text(part, "namespace"), text(part, "name"));
    let attributes = Attributes {
        user,
        verb,
        group,
        version,
        resource,
        subresource,
        namespace: &namespace,
        name: &name,
        path: if of_path && path.is_empty() {
            "/"
        } else {
            &path
        },
    };
    let decision = asker.rbac.allowed(&attributes);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    review["status"] = status;
    complete(&mut review, AUTHORIZATION, kind);
    Ok(review)
}

/// What is wrong with an access review.
fn faults(kind: &str, review: &Value, namespace: &str) -> Vec<Cause> {
    let invalid = |field: &str, value: &Value, why: &str| {
        Cause::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {value}: {why}"),
        )
    };
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut found = Vec::new();
    match (resource.is_object(), path.is_object()) {
        (true, true) => found.push(invalid(
            "spec.nonResourceAttributes",
            path,
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => found.push(invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let user = spec["user"].as_str().unwrap_or_default();
    if kind != "SelfSubjectAccessReview" && user.is_empty() && texts(&spec["groups"]).is_empty() {
        let why = "at least one of user or group must be specified";
        found.push(invalid("spec.user", &json!(""), why));
    }
    let local = kind == "LocalSubjectAccessReview";
    let filled = review["metadata"].as_object().is_some_and(|meta| {
        let mut keys = meta.iter().filter(|(_, value)| !value.is_null());
        keys.any(|(key, _)| key != "managedFields" && !(local && key == "namespace"))
    });
    if filled {
        let why = if local {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        found.push(invalid("metadata", &review["metadata"], why));
    }
    let asked = resource["namespace"].as_str().unwrap_or_default();
    if local && resource.is_object() && asked != namespace {
        let why = "must match metadata.namespace";
        let field = "spec.resourceAttributes.namespace";
        found.push(invalid(field, &json!(asked), why));
    }
    if local && path.is_object() {
        let why = "disallowed on this kind of request";
        found.push(invalid("spec.nonResourceAttributes", path, why));
    }
    found
}

fn user_of(spec: &Value) -> User {
    let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
    let extra = spec["extra"].as_object();
    User {
        name: text("user"),
        groups: texts(&spec["groups"]),
        uid: text("uid"),
        extra: extra.map_or_else(BTreeMap::new, |extra| {
            let pairs = extra.iter();
            pairs
                .map(|(key, values)| (key.clone(), texts(values)))
                .collect()
        }),
    }
}

fn rules(review: &Value, asker: &Asker<'_>) -> Result<Value, Status> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let held = asker
        .rbac
        .read(|index| index.rules_for(asker.user, namespace));
    let resources: Vec<_> = held
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(Rule::to_json)
        .collect();
    let urls: Vec<_> = held
        .iter()
        .filter(|rule| !rule.urls.is_empty())
        .map(Rule::to_json)
        .collect();
    Ok(json!({
        "kind": "SelfSubjectRulesReview",
        "apiVersion": format!("{AUTHORIZATION}/v1"),
        "metadata": {},
        "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": urls, "incomplete": false},
    }))
}

fn myself(asker: &Asker<'_>) -> Value {
    json!({
        "kind": "SelfSubjectReview",
        "apiVersion": format!("{AUTHENTICATION}/v1"),
        "metadata": {"creationTimestamp": asker.now},
        "status": {"userInfo": user_info(asker.user)},
    })
}

fn token(mut review: Value, asker: &Asker<'_>) -> Result<Value, Status> {
    let shown = review["spec"]["token"].as_str().unwrap_or_default();
    if shown.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let asked = texts(&review["spec"]["audiences"]);
    let ours = |audience: &String| asker.audiences.contains(audience);
    let audiences: Vec<_> = if asked.is_empty() {
        asker.audiences.to_vec()
    } else {
        asked.iter().filter(|one| ours(one)).cloned().collect()
    };
    // A token of ours counts for our audiences only.
    let counts = asked.is_empty() || !audiences.is_empty();
    let user = asker.authenticator.token_user(shown).filter(|_| counts);
    review["status"] = match user {
        Some(user) => {
            let mut status = json!({"authenticated": true, "user": user_info(&user)});
            if !audiences.is_empty() {
                status["audiences"] = json!(audiences);
            }
            status
        }
        None => json!({"user": {}, "error": "invalid bearer token"}),
    };
    complete(&mut review, AUTHENTICATION, "TokenReview");
    Ok(review)
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(key.into(), json!(text));
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    Value::Object(info)
}

/// Bodies may come without what the path already says.
fn complete(review: &mut Value, group: &str, kind: &str) {
    review["apiVersion"] = json!(format!("{group}/v1"));
    review["kind"] = json!(kind);
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
}
