//! Protobuf bodies: those that real clients send, by hand-made traps, and broken ones.

use base64::{Engine, engine::general_purpose::STANDARD};
use flotilla_kubeapi::codec::protobuf::{decode, decode_as};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A field with a length.
fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short part");
    assert!(length < 128 && number < 16);
    [&[number << 3 | 2, length], bytes].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let names = [part(1, version.as_bytes()), part(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), part(1, &names), part(2, object)].concat()
}

fn check(version: &str, kind: &str, parts: &[Vec<u8>], mut expected: Value) {
    expected["apiVersion"] = json!(version);
    expected["kind"] = json!(kind);
    let bytes = body(version, kind, &parts.concat());
    assert_eq!(decode(&bytes), Ok(expected), "{kind}");
}

/// Drops what says nothing: nulls, and what is empty afterwards.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), bare(value)))
            .filter(|(_, value)| !value.is_null() && *value != json!({}))
            .collect(),
        Value::Array(list) => list.iter().map(bare).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_kubectl_posts_is_what_its_dry_run_shows() {
    let mut lines = include_str!("bodies.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let (mut all, mut compared) = (0, 0);
    while let Some(command) = lines.next() {
        let bytes = STANDARD.decode(lines.next().unwrap()).unwrap();
        let expected = lines.next().unwrap();
        let mut object = decode(&bytes).unwrap_or_else(|error| panic!("{command}: {error:?}"));
        assert!(object["kind"].is_string(), "{command}");
        all += 1;
        if expected == "-" {
            continue;
        }
        let mut expected: Value = serde_json::from_str(expected).unwrap();
        for one in [&mut object, &mut expected] {
            // A dry run leaves the namespace to the request.
            if let Some(meta) = one["metadata"].as_object_mut() {
                meta.remove("namespace");
            }
        }
        assert_eq!(bare(&object), bare(&expected), "{command}");
        compared += 1;
    }
    assert!(
        all >= 24 && compared >= 18,
        "{all} bodies, {compared} compared"
    );
}

#[test]
fn a_pointer_keeps_its_zero_and_others_lose_it() {
    // replicas is a pointer, minReadySeconds is not.
    let spec = [number(1, 0), number(5, 0)].concat();
    let expected = json!({"spec": {"replicas": 0}});
    check("apps/v1", "Deployment", &[part(2, &spec)], expected);
    // `immutable: false` behind a pointer.
    check(
        "v1",
        "ConfigMap",
        &[number(4, 0)],
        json!({"immutable": false}),
    );
}

#[test]
fn what_clients_never_leave_out_stays_even_when_empty() {
    let spec = part(1, b"");
    let expected = json!({"spec": {"podSelector": {}}});
    check(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        &[part(2, &spec)],
        expected,
    );
    check(
        "apps/v1",
        "Deployment",
        &[part(1, b""), part(3, b"")],
        json!({}),
    );
}

#[test]
fn embedded_parts_lie_in_their_parent() {
    // volumes[0].emptyDir: a VolumeSource inside a Volume.
    let volume = [part(1, b"v"), part(2, &part(2, b""))].concat();
    let expected = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let parts = [part(2, &part(1, &volume))];
    let mut pod = decode(&body("v1", "Pod", &parts.concat())).unwrap();
    pod["spec"]
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key == "volumes");
    assert_eq!(pod["spec"], expected["spec"]);
}

#[test]
fn maps_bytes_quantities_and_unions() {
    let data = [part(1, b"k"), part(2, &[0, 1, 2])].concat();
    let empty = part(1, b"e");
    check(
        "v1",
        "Secret",
        &[part(2, &data), part(2, &empty)],
        json!({"data": {"k": "AAEC", "e": ""}}),
    );
    let hard = [part(1, b"pods"), part(2, &part(1, b"5"))].concat();
    let expected = json!({"spec": {"hard": {"pods": "5"}}});
    check("v1", "ResourceQuota", &[part(2, &part(1, &hard))], expected);
    for (value, expected) in [
        (
            [number(1, 1), number(2, 0), part(3, b"30%")].concat(),
            json!("30%"),
        ),
        (
            [number(1, 0), number(2, 7), part(3, b"")].concat(),
            json!(7),
        ),
        (
            [number(1, 0), number(2, 0), part(3, b"")].concat(),
            json!(0),
        ),
    ] {
        let parts = [part(2, &part(1, &value))];
        let expected = json!({"spec": {"minAvailable": expected}});
        check("policy/v1", "PodDisruptionBudget", &parts, expected);
    }
}

#[test]
fn times() {
    let created = [number(1, 61), number(2, 0)].concat();
    let expected = json!({"metadata": {"creationTimestamp": "1970-01-01T00:01:01Z"}});
    check("v1", "ConfigMap", &[part(1, &part(8, &created))], expected);
    // The zero time is an empty message, and JSON says nothing.
    check("v1", "ConfigMap", &[part(1, &part(8, b""))], json!({}));
    let renew = [vec![0x08, 0x01, 0x10], vec![0xc0, 0x84, 0x3d]].concat();
    let expected = json!({"spec": {"renewTime": "1970-01-01T00:00:01.001000Z"}});
    check(
        "coordination.k8s.io/v1",
        "Lease",
        &[part(2, &part(4, &renew))],
        expected,
    );
}

#[test]
fn options_of_requests_are_known_in_every_group() {
    let bytes = body("policy/v1", "DeleteOptions", &part(4, b"Background"));
    assert_eq!(decode(&bytes).unwrap()["propagationPolicy"], "Background");
}

#[test]
fn a_body_may_leave_its_kind_to_the_path() {
    let bytes = [b"k8s\0".to_vec(), part(2, &number(4, 1))].concat();
    assert_eq!(decode(&bytes).unwrap_err().code, 400);
    let object = decode_as(&bytes, "v1", "ConfigMap").unwrap();
    assert_eq!(object["immutable"], true);
}

#[test]
fn json_and_truncated_bodies_are_bad_requests() {
    let whole = body("v1", "ConfigMap", &part(1, &part(1, b"name")));
    for bytes in [
        &b"{}"[..],
        b"",
        b"k8s",
        &whole[..whole.len() - 2],
        b"k8s\0\xff",
    ] {
        assert_eq!(decode(bytes).unwrap_err().code, 400, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(start in 0..27usize, cut in any::<usize>(), noise in any::<Vec<u8>>()) {
        let text = include_str!("bodies.txt");
        let bodies: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let line = bodies.iter().skip(1).step_by(3).nth(start % 20).unwrap();
        let mut bytes = STANDARD.decode(line).unwrap();
        bytes.truncate(4 + cut % (bytes.len() - 4));
        bytes.extend(noise);
        if let Err(status) = decode(&bytes) {
            prop_assert_eq!(status.code, 400);
        }
    }
}
