//! Who asks, what they may do, and how they are told.

use std::sync::Arc;

use flotilla_kubeapi::{
    auth::{
        Attributes, Authorizer, User,
        authn::{Authenticator, TokenFile, TokenFileError},
        escalation::{self, Write},
        forbidden,
        impersonate::{Refusal, Wish},
        rbac::{Index, Rbac},
        reviews::{Asker, answer},
        roles::defaults,
        selected_name, unauthorized,
    },
    error::Status,
};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..User::default()
    }
}

fn alice() -> User {
    user("alice", &["system:authenticated"])
}

fn role(namespace: &str, name: &str, rules: Value) -> Value {
    let kind = if namespace.is_empty() {
        "ClusterRole"
    } else {
        "Role"
    };
    json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}, "rules": rules})
}

fn binding(namespace: &str, role: &str, subject: Value) -> Value {
    let kind = if namespace.is_empty() {
        "ClusterRoleBinding"
    } else {
        "RoleBinding"
    };
    let (role_kind, role) = role.split_once('/').expect("kind and name");
    json!({
        "kind": kind,
        "metadata": {"namespace": namespace, "name": "b"},
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
        "subjects": [subject],
    })
}

fn to_alice() -> Value {
    json!({"kind": "User", "name": "alice"})
}

fn rbac(objects: &[Value]) -> Rbac {
    let mut index = Index::default();
    for object in defaults().iter().chain(objects) {
        index.insert(object);
    }
    Rbac::new(index)
}

/// `VERB GROUP/RESOURCE[/SUB] [NAMESPACE [NAME]]`, or `VERB PATH`.
fn may(rbac: &Rbac, user: &User, wish: &str) -> bool {
    let words: Vec<_> = wish.split(' ').collect();
    let mut attributes = Attributes::new(user, words[0]);
    if words[1].starts_with('/') {
        attributes.path = words[1];
    } else {
        let mut parts = words[1].splitn(3, '/');
        let group = parts.next().expect("a group");
        attributes.group = if group == "core" { "" } else { group };
        attributes.resource = parts.next().expect("a resource");
        attributes.subresource = parts.next().unwrap_or_default();
        attributes.namespace = words.get(2).copied().unwrap_or_default();
        attributes.name = words.get(3).copied().unwrap_or_default();
    }
    rbac.allowed(&attributes).allowed
}

fn check(rbac: &Rbac, user: &User, yes: &[&str], no: &[&str]) {
    for wish in yes {
        assert!(may(rbac, user, wish), "{} may {wish}", user.name);
    }
    for wish in no {
        assert!(!may(rbac, user, wish), "{} may not {wish}", user.name);
    }
}

#[test]
fn everybody_has_what_the_default_roles_give() {
    let rbac = rbac(&[]);
    let create = "create authorization.k8s.io/selfsubjectaccessreviews";
    check(
        &rbac,
        &User::anonymous(),
        &["get /healthz", "get /version"],
        &[
            "get /api",
            "get /apis/apps/v1",
            "get /metrics",
            "post /healthz",
            create,
        ],
    );
    let paths = ["get /api", "get /apis/apps/v1", "get /openapi/v3", create];
    check(&rbac, &alice(), &paths, &["get core/pods n", "get /secret"]);
    let masters = user("root", &["system:masters"]);
    check(
        &rbac,
        &masters,
        &["delete core/nodes", "get /x", "x y/z"],
        &[],
    );
}

#[test]
fn rules_match_resources_and_subresources() {
    let rules = json!([
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/*"], "verbs": ["get"]},
        {"apiGroups": ["*"], "resources": ["*/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"], "resourceNames": ["a"]},
    ]);
    let rbac = rbac(&[role("n", "r", rules), binding("n", "Role/r", to_alice())]);
    check(
        &rbac,
        &alice(),
        &[
            "get apps/deployments/scale n d",
            "patch apps/deployments/status n d",
            "patch core/pods/status n",
            "delete core/configmaps n a",
        ],
        &[
            "get apps/deployments n d",
            "get core/pods/log n p",
            "get core/pods n p",
            "patch core/pods n",
            "list core/configmaps n",
            "get core/configmaps n b",
            "get core/configmaps m a",
        ],
    );
}

#[test]
fn a_cluster_role_bound_in_a_namespace_reaches_no_further() {
    let rules = json!([
        {"apiGroups": [""], "resources": ["secrets", "nodes"], "verbs": ["list"]},
        {"nonResourceURLs": ["/logs/*"], "verbs": ["get"]},
    ]);
    let role = role("", "cr", rules);
    let local = rbac(&[role.clone(), binding("n", "ClusterRole/cr", to_alice())]);
    let no = [
        "list core/nodes",
        "list core/secrets",
        "list core/secrets m",
        "get /logs/x",
    ];
    check(&local, &alice(), &["list core/secrets n"], &no);
    let everywhere = rbac(&[role, binding("", "ClusterRole/cr", to_alice())]);
    check(
        &everywhere,
        &alice(),
        &no,
        &["get /logs", "list core/secrets/x n"],
    );
}

#[test]
fn subjects_are_users_groups_and_service_accounts() {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]);
    let wish = "list core/secrets n";
    for (subject, allowed, denied) in [
        (
            json!({"kind": "User", "name": "a"}),
            user("a", &[]),
            user("b", &["a"]),
        ),
        (
            json!({"kind": "Group", "name": "g"}),
            user("x", &["f", "g"]),
            user("g", &[]),
        ),
        (
            json!({"kind": "ServiceAccount", "name": "s", "namespace": "m"}),
            user("system:serviceaccount:m:s", &[]),
            user("system:serviceaccount:n:s", &[]),
        ),
        (
            json!({"kind": "ServiceAccount", "name": "s"}),
            user("system:serviceaccount:n:s", &[]),
            user("s", &[]),
        ),
    ] {
        let rbac = rbac(&[
            role("n", "r", rules.clone()),
            binding("n", "Role/r", subject),
        ]);
        check(&rbac, &allowed, &[wish], &[]);
        check(&rbac, &denied, &[], &[wish]);
    }
}

#[test]
fn aggregated_roles_follow_the_roles_they_select() {
    let rbac = rbac(&[binding("n", "ClusterRole/admin", to_alice())]);
    let wishes = [
        "get core/pods n",
        "create apps/deployments n",
        &format!("create {RBAC}/roles n"),
    ];
    check(
        &rbac,
        &alice(),
        &wishes,
        &["list x.io/things n", "get core/secrets m"],
    );
    let mut more = role(
        "",
        "more",
        json!([{"apiGroups": ["x.io"], "resources": ["things"], "verbs": ["list"]}]),
    );
    more["metadata"]["labels"] = json!({format!("{RBAC}/aggregate-to-view"): "true"});
    rbac.update(|index| index.insert(&more));
    check(
        &rbac,
        &alice(),
        &["list x.io/things n"],
        &["get x.io/things n"],
    );
    rbac.update(|index| index.remove(&more));
    check(&rbac, &alice(), &wishes, &["list x.io/things n"]);
}

#[test]
fn a_removed_binding_gives_nothing() {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]);
    let bind = binding("n", "Role/r", to_alice());
    let rbac = rbac(&[role("n", "r", rules), bind.clone()]);
    check(&rbac, &alice(), &["list core/secrets n"], &[]);
    rbac.update(|index| index.remove(&bind));
    check(&rbac, &alice(), &[], &["list core/secrets n"]);
}

fn message(attributes: Attributes<'_>, reason: &str) -> (String, Value) {
    let status = forbidden(&attributes, reason).to_json();
    (
        status["message"].as_str().expect("a text").to_owned(),
        status["details"].clone(),
    )
}

#[test]
fn refusals_read_as_clients_know_them() {
    let alice = alice();
    let base = Attributes::new(&alice, "get");
    let log = Attributes {
        resource: "pods",
        subresource: "log",
        namespace: "n",
        name: "x",
        ..base
    };
    let of_log = r#"pods "x" is forbidden: User "alice" cannot get resource "pods/log" in API group "" in the namespace "n""#;
    assert_eq!(
        message(log, ""),
        (of_log.into(), json!({"kind": "pods", "name": "x"}))
    );
    let list = Attributes {
        group: "apps",
        resource: "deployments",
        ..Attributes::new(&alice, "list")
    };
    let of_list = r#"deployments.apps is forbidden: User "alice" cannot list resource "deployments" in API group "apps" at the cluster scope: why"#;
    let details = json!({"group": "apps", "kind": "deployments"});
    assert_eq!(message(list, "why"), (of_list.into(), details));
    let path = Attributes {
        path: "/apis",
        ..base
    };
    let of_path = r#"forbidden: User "alice" cannot get path "/apis""#;
    assert_eq!(message(path, ""), (of_path.into(), json!({})));
    assert_eq!(
        unauthorized().to_json(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
               "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
    );
}

#[test]
fn a_list_of_one_name_counts_as_naming_it() {
    for (selector, name) in [
        ("metadata.name=ok", Some("ok")),
        ("metadata.namespace=n,metadata.name==ok", Some("ok")),
        ("metadata.name!=ok", None),
        ("spec.nodeName=x", None),
        ("metadata.name=a/b", None),
        ("metadata.name=", None),
        ("", None),
    ] {
        assert_eq!(selected_name(selector), name, "{selector}");
    }
}

fn authenticator() -> Authenticator {
    let file =
        "t1,admin,u1,\"system:masters,ops\"\nt2,bob,u2\n\n,nobody,x\n\"q\"\"t\",quoted,u3,\n";
    Authenticator::new(vec![Arc::new(TokenFile::parse(file).expect("a good file"))])
}

#[test]
fn tokens_name_users_and_bad_ones_are_refused() {
    let authenticator = authenticator();
    for (header, expected) in [
        (
            Some("Bearer t1"),
            Some((
                "admin",
                vec!["system:masters", "ops", "system:authenticated"],
            )),
        ),
        (
            Some("bearer t2"),
            Some(("bob", vec!["system:authenticated"])),
        ),
        (
            Some("Bearer q\"t"),
            Some(("quoted", vec!["system:authenticated"])),
        ),
        (Some("Bearer wrong"), None),
        (
            Some("Basic YTpi"),
            Some(("system:anonymous", vec!["system:unauthenticated"])),
        ),
        (
            None,
            Some(("system:anonymous", vec!["system:unauthenticated"])),
        ),
    ] {
        let found = authenticator.authenticate(None, header);
        match expected {
            Some((name, groups)) => {
                let found = found.unwrap();
                assert_eq!(
                    (found.name.as_str(), found.groups),
                    (name, user("", &groups).groups)
                );
            }
            None => assert_eq!(found, Err(unauthorized()), "{header:?}"),
        }
    }
}

#[test]
fn a_token_file_with_a_fault_is_refused_with_its_line() {
    for (text, error) in [
        (
            "a,b",
            TokenFileError::Columns {
                line: 1,
                columns: 2,
            },
        ),
        ("a,b,c\n\"x,b,c", TokenFileError::Quote { line: 2 }),
        ("a,b,c\na,d,e", TokenFileError::Repeated { line: 2 }),
    ] {
        assert_eq!(TokenFile::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn a_certificate_names_its_user_and_groups() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "carol");
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "flotilla:admins");
    let certificate = params.self_signed(&key).unwrap();
    let found = Authenticator::default()
        .authenticate(Some(certificate.der()), Some("Bearer wrong"))
        .unwrap();
    assert_eq!(found.name, "carol");
    assert_eq!(found.groups, ["flotilla:admins", "system:authenticated"]);
    assert!(
        found.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256=")
    );
}

fn impersonate(rbac: &Rbac, by: &User, headers: &[(&str, &str)]) -> Result<Option<User>, Refusal> {
    let wish = Wish::from_headers(headers.iter().copied())?;
    wish.map(|wish| wish.grant(by, rbac)).transpose()
}

#[test]
fn impersonation_gives_the_groups_that_belong_to_the_name() {
    let rbac = rbac(&[]);
    let root = user("root", &["system:masters"]);
    for (headers, groups) in [
        (
            vec![("Impersonate-User", "bob")],
            vec!["system:authenticated"],
        ),
        (
            vec![
                ("impersonate-user", "bob"),
                ("Impersonate-Group", "g1"),
                ("Impersonate-Group", "g2"),
            ],
            vec!["g1", "g2", "system:authenticated"],
        ),
        (
            vec![("Impersonate-User", "system:anonymous")],
            vec!["system:unauthenticated"],
        ),
        (
            vec![("Impersonate-User", "system:serviceaccount:n:s")],
            vec![
                "system:serviceaccounts",
                "system:serviceaccounts:n",
                "system:authenticated",
            ],
        ),
    ] {
        let found = impersonate(&rbac, &root, &headers).unwrap().unwrap();
        assert_eq!(found.groups, groups, "{headers:?}");
    }
    assert_eq!(impersonate(&rbac, &root, &[("Accept", "x")]), Ok(None));
    let headers = [
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "u"),
        ("Impersonate-Extra-acme.com%2fproject", "x"),
    ];
    let found = impersonate(&rbac, &root, &headers).unwrap().unwrap();
    assert_eq!(
        (found.uid.as_str(), &found.extra["acme.com/project"][0]),
        ("u", &"x".to_owned())
    );
}

#[test]
fn impersonation_needs_rights_and_a_user() {
    let rules = json!([{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob"]}]);
    let rbac = rbac(&[
        role("", "i", rules),
        binding("", "ClusterRole/i", to_alice()),
    ]);
    let as_user = |headers: &[(&str, &str)]| impersonate(&rbac, &alice(), headers);
    assert!(as_user(&[("Impersonate-User", "bob")]).unwrap().is_some());
    for (headers, text) in [
        (
            vec![("Impersonate-User", "eve")],
            r#"users "eve" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope"#,
        ),
        (
            vec![("Impersonate-User", "bob"), ("Impersonate-Group", "g")],
            r#"groups "g" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
        ),
        (
            vec![
                ("Impersonate-User", "bob"),
                ("Impersonate-Extra-Scopes", "v"),
            ],
            r#"userextras.authentication.k8s.io "v" is forbidden: User "alice" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
    ] {
        let Err(Refusal::Forbidden(status)) = as_user(&headers) else {
            panic!("{headers:?} is granted");
        };
        assert_eq!(status.message, text);
    }
    let lost = "requested [{Group  g    } {UserExtra  a  authentication.k8s.io/v1  scopes}] without impersonating a user";
    let headers = [
        ("Impersonate-Group", "g"),
        ("Impersonate-Extra-Scopes", "a"),
    ];
    assert_eq!(as_user(&headers), Err(Refusal::Headers(lost.into())));
}

fn write(
    rbac: &Rbac,
    resource: &str,
    namespace: &str,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Status> {
    let user = alice();
    let write = Write {
        user: &user,
        resource,
        namespace,
        name: "",
        old,
        new,
    };
    escalation::check(rbac, &write)
}

fn with_configmaps() -> Rbac {
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let big = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]);
    rbac(&[
        role("n", "r", rules),
        role("n", "big", big),
        binding("n", "Role/r", to_alice()),
    ])
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let rbac = with_configmaps();
    let start = "is forbidden: user \"alice\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n";
    for (rules, lacking) in [
        (
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]),
            "",
        ),
        (
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]),
            r#"{APIGroups:[""], Resources:["configmaps"], Verbs:["list" "watch"]}"#,
        ),
        (
            json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
            "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}",
        ),
        (
            json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["a"]}]),
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}"#,
        ),
        (
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["a"]}]),
            "",
        ),
    ] {
        let found = write(&rbac, "roles", "n", None, &role("n", "new", rules));
        if lacking.is_empty() {
            assert_eq!(found, Ok(()));
            continue;
        }
        let expected = format!("roles.{RBAC} \"new\" {start}{lacking}");
        assert_eq!(found.unwrap_err().message, expected);
    }
}

#[test]
fn bindings_need_the_rights_of_their_role() {
    let rbac = with_configmaps();
    let to = |role: &str| binding("n", role, json!({"kind": "User", "name": "eve"}));
    assert_eq!(
        write(&rbac, "rolebindings", "n", None, &to("Role/r")),
        Ok(())
    );
    let refused = write(&rbac, "rolebindings", "n", None, &to("Role/big")).unwrap_err();
    assert_eq!(refused.code, 403);
    assert!(
        refused
            .message
            .ends_with(r#"{APIGroups:[""], Resources:["secrets"], Verbs:["*"]}"#)
    );
    let lost = write(&rbac, "rolebindings", "n", None, &to("Role/missing")).unwrap_err();
    let expected = format!("rolebindings.{RBAC} \"missing\" not found");
    assert_eq!((lost.code, lost.message), (404, expected));
}

#[test]
fn the_verbs_escalate_and_bind_lift_the_checks() {
    let rbac = with_configmaps();
    let verbs =
        json!([{"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate", "bind"]}]);
    let all = role(
        "n",
        "new",
        json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
    );
    let bind = binding("n", "Role/big", to_alice());
    assert!(write(&rbac, "roles", "n", None, &all).is_err());
    rbac.update(|index| index.insert(&role("n", "r", verbs)));
    assert_eq!(write(&rbac, "roles", "n", None, &all), Ok(()));
    assert_eq!(write(&rbac, "rolebindings", "n", None, &bind), Ok(()));
}

#[test]
fn aggregation_needs_everything_and_collectors_need_nothing() {
    let rbac = with_configmaps();
    let mut aggregated = role("", "a", Value::Null);
    aggregated["aggregationRule"] = json!({"clusterRoleSelectors": []});
    let refused = write(&rbac, "clusterroles", "", None, &aggregated).unwrap_err();
    assert!(
        refused
            .message
            .ends_with("must have cluster-admin privileges to use the aggregationRule")
    );
    let mut old = role(
        "n",
        "x",
        json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
    );
    let new = old.clone();
    old["metadata"]["finalizers"] = json!(["f"]);
    assert_eq!(write(&rbac, "roles", "n", Some(&old), &new), Ok(()));
    old["metadata"]["labels"] = json!({"a": "b"});
    assert!(write(&rbac, "roles", "n", Some(&old), &new).is_err());
}

fn review(
    rbac: &Rbac,
    by: &User,
    kind: &str,
    namespace: &str,
    body: Value,
) -> Result<Value, Status> {
    let authenticator = authenticator();
    let asker = Asker {
        user: by,
        namespace,
        rbac,
        authenticator: &authenticator,
        audiences: &["api".to_owned()],
        now: "2025-01-02T03:04:05Z",
    };
    answer(kind, body, &asker).expect("a review")
}

#[test]
fn access_reviews_say_who_may_and_why() {
    let rbac = with_configmaps();
    let wish = json!({"namespace": "n", "verb": "get", "resource": "configmaps"});
    let reason = r#"RBAC: allowed by RoleBinding "b/n" of Role "r" to User "alice""#;
    for (by, kind, spec, status) in [
        (
            alice(),
            "SelfSubjectAccessReview",
            json!({"resourceAttributes": wish}),
            json!({"allowed": true, "reason": reason}),
        ),
        (
            user("eve", &[]),
            "SelfSubjectAccessReview",
            json!({"resourceAttributes": wish}),
            json!({"allowed": false}),
        ),
        (
            user("eve", &[]),
            "SubjectAccessReview",
            json!({"user": "alice", "resourceAttributes": wish}),
            json!({"allowed": true, "reason": reason}),
        ),
        (
            user("eve", &[]),
            "LocalSubjectAccessReview",
            json!({"user": "alice", "resourceAttributes": wish}),
            json!({"allowed": true, "reason": reason}),
        ),
        (
            alice(),
            "SubjectAccessReview",
            json!({"user": "z", "groups": ["system:masters"], "resourceAttributes": wish}),
            json!({"allowed": true}),
        ),
        (
            alice(),
            "SelfSubjectAccessReview",
            json!({"nonResourceAttributes": {"path": "/secret", "verb": "get"}}),
            json!({"allowed": false}),
        ),
    ] {
        let found = review(&rbac, &by, kind, "n", json!({"metadata": {}, "spec": spec})).unwrap();
        assert_eq!(found["status"], status, "{kind} {spec}");
        assert_eq!(found["spec"], spec);
        assert_eq!(
            (&found["kind"], &found["apiVersion"]),
            (&json!(kind), &json!("authorization.k8s.io/v1"))
        );
    }
}

#[test]
fn access_reviews_with_faults_are_invalid() {
    let rbac = rbac(&[]);
    for (kind, spec, message) in [
        (
            "SubjectAccessReview",
            json!({"resourceAttributes": {"verb": "get"}}),
            r#".authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified"#,
        ),
        (
            "LocalSubjectAccessReview",
            json!({"user": "a", "resourceAttributes": {"namespace": "other"}}),
            r#".authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace"#,
        ),
    ] {
        let status = review(&rbac, &alice(), kind, "n", json!({"spec": spec})).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (422, message));
        assert_eq!(status.to_json()["details"]["group"], "authorization.k8s.io");
    }
    let both = json!({"resourceAttributes": {}, "nonResourceAttributes": {}});
    for spec in [json!({}), both] {
        let found = review(
            &rbac,
            &alice(),
            "SelfSubjectAccessReview",
            "",
            json!({"spec": spec}),
        );
        assert_eq!(found.unwrap_err().code, 422);
    }
}

#[test]
fn a_lost_role_is_named_as_the_reason() {
    let rbac = rbac(&[binding("n", "ClusterRole/gone", to_alice())]);
    let spec = json!({"resourceAttributes": {"namespace": "n", "verb": "get", "resource": "x"}});
    let found = review(
        &rbac,
        &alice(),
        "SelfSubjectAccessReview",
        "",
        json!({"spec": spec}),
    )
    .unwrap();
    let reason = format!("RBAC: clusterrole.{RBAC} \"gone\" not found");
    assert_eq!(found["status"], json!({"allowed": false, "reason": reason}));
}

#[test]
fn reviews_of_oneself_and_of_tokens() {
    let rbac = with_configmaps();
    let me = review(&rbac, &alice(), "SelfSubjectReview", "", json!({})).unwrap();
    assert_eq!(
        me["status"]["userInfo"],
        json!({"username": "alice", "groups": ["system:authenticated"]})
    );
    assert_eq!(me["metadata"]["creationTimestamp"], "2025-01-02T03:04:05Z");
    let mine = review(
        &rbac,
        &alice(),
        "SelfSubjectRulesReview",
        "",
        json!({"spec": {"namespace": "n"}}),
    )
    .unwrap();
    let rules = mine["status"]["resourceRules"].as_array().unwrap();
    assert!(
        rules.contains(&json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]})),
        "{mine}"
    );
    assert!(
        !mine["status"]["nonResourceRules"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for (spec, status) in [
        (
            json!({"token": "t2"}),
            json!({"authenticated": true, "audiences": ["api"],
                   "user": {"username": "bob", "uid": "u2", "groups": ["system:authenticated"]}}),
        ),
        (
            json!({"token": "t2", "audiences": ["x"]}),
            json!({"user": {}, "error": "invalid bearer token"}),
        ),
        (
            json!({"token": "no"}),
            json!({"user": {}, "error": "invalid bearer token"}),
        ),
    ] {
        let found = review(&rbac, &alice(), "TokenReview", "", json!({"spec": spec})).unwrap();
        assert_eq!(found["status"], status, "{spec}");
    }
    assert_eq!(
        review(&rbac, &alice(), "TokenReview", "", json!({"spec": {}}))
            .unwrap_err()
            .code,
        400
    );
}
