//! The languages of selectors, against objects.

use flotilla_kubeapi::kinds::{Profile, builtin};
use flotilla_kubeapi::select::{Labels, Selector};
use serde_json::{Value, json};

fn object() -> Value {
    json!({"metadata": {"name": "a", "namespace": "n", "labels": {"x": "1", "empty": ""}},
        "spec": {"nodeName": "n0"}, "status": {"phase": "Running"}})
}

#[test]
fn labels_match_as_a_real_server_matches_them() {
    for (text, matches) in [
        ("", true),
        ("x=1", true),
        ("x==1", true),
        ("x!=1", false),
        ("y!=1", true),
        ("x in (1, 2)", true),
        ("x notin (1,2)", false),
        ("y notin (1)", true),
        ("x", true),
        ("!x", false),
        ("!y,x", true),
        ("empty=", true),
        ("empty in (,z)", true),
        ("x>0", true),
        ("x<1", false),
        ("y>0", false),
    ] {
        let labels = Labels::parse(text).unwrap();
        assert_eq!(
            labels.matches(&object()["metadata"]["labels"]),
            matches,
            "{text}"
        );
    }
}

#[test]
fn broken_label_selectors_are_refused() {
    for text in [
        "x in (", "x in 1", "=1", "x=1,", "x=1 y=2", "x>one", "-x=1", "x=a b", "x=-",
    ] {
        let refused = Labels::parse(text).unwrap_err();
        assert_eq!(refused.code, 400, "{text}");
        assert!(
            refused.message.starts_with("unable to parse requirement"),
            "{text}"
        );
    }
}

#[test]
fn fields_match_where_the_kind_lets_them() {
    let kinds = builtin(Profile::Cluster);
    let pods = kinds.iter().find(|kind| kind.plural == "pods").unwrap();
    for (text, expected) in [
        ("metadata.name=a", Ok(true)),
        ("metadata.name!=a", Ok(false)),
        ("metadata.name=a,spec.nodeName=n1", Ok(false)),
        ("status.phase==Running", Ok(true)),
        ("spec.hostNetwork=false", Ok(true)),
        ("status.podIP=", Ok(true)),
        ("=", Ok(true)),
        ("spec.x=1", Err("field label not supported: spec.x")),
        (
            "metadata.name",
            Err("invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ),
        (
            "metadata.name=a=b",
            Err("invalid field selector: unescaped character in value: 61"),
        ),
    ] {
        let found = Selector::parse(pods, "", text).map(|selector| selector.matches(&object()));
        assert_eq!(
            found.as_ref().map_err(|refused| &*refused.message),
            expected.as_ref().map_err(|text| *text),
            "{text}"
        );
    }
}
