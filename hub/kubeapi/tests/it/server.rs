//! The whole server over loopback: TLS, both HTTP versions, who may what, limits, the stop.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::world::{MAPS, Said, World, config_map, read};

#[tokio::test]
async fn a_watch_over_h2_sees_what_enters_and_leaves_its_selector() {
    let world = World::start().await;
    let stream = world.connect(b"h2", false).await;
    let executor = TokioExecutor::new();
    let (mut client, connection) = http2::handshake(executor, TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let uri = format!("https://localhost{MAPS}?watch=true&labelSelector=on%3D1&timeoutSeconds=20");
    let request = Request::get(uri).body(Full::new(Bytes::new())).unwrap();
    let mut frames = client.send_request(request).await.unwrap().into_body();
    world
        .ask("POST", MAPS, Some(config_map("w", json!({}))))
        .await;
    let one = format!("{MAPS}/w");
    for on in ["1", "0"] {
        let patch = json!({"metadata": {"labels": {"on": on}}});
        assert_eq!(world.ask("PATCH", &one, Some(patch)).await.0, 200);
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = tokio::time::timeout(Duration::from_secs(10), frames.frame());
        let frame = next.await.unwrap().unwrap().unwrap().into_data().unwrap();
        for line in frame
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event: Value = serde_json::from_slice(line).unwrap();
            let on = event["object"]["metadata"]["labels"]["on"].clone();
            seen.push((event["type"].clone(), on));
        }
    }
    assert_eq!(seen[0], (json!("ADDED"), json!("1")));
    assert_eq!(
        seen[1],
        (json!("DELETED"), json!("1")),
        "the last selected state"
    );
    drop(frames);
    drop(client);
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_running_watch_does_not_hold_up_the_stop() {
    let world = World::start().await;
    let watched = world
        .send("GET", &format!("{MAPS}?watch=1"), Said::default())
        .await;
    assert_eq!(watched.status(), 200);
    let stopped = tokio::time::timeout(Duration::from_secs(5), world.running.stop());
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_does_not_say_who_they_are_sees_health_only() {
    let world = World::start().await;
    for (path, code) in [
        ("/healthz", 200),
        ("/version", 200),
        ("/api", 403),
        (MAPS, 403),
        ("/api/v1/namespaces/default/nothings", 403),
    ] {
        let said = Said {
            anonymous: true,
            ..Said::default()
        };
        assert_eq!(world.send("GET", path, said).await.status(), code, "{path}");
    }
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_right_code() {
    let world = World::start().await;
    let big = json!({"data": "x".repeat(4 * 1024 * 1024)});
    let elsewhere = "/api/v1/namespaces/nowhere/configmaps";
    let json = ("content-type", "application/json");
    let cases = [
        ("POST", MAPS, ("content-type", "text/plain"), json!({}), 415),
        ("POST", MAPS, json, big, 413),
        ("POST", MAPS, json, json!({"kind": "Secret"}), 400),
        ("POST", MAPS, json, json!({}), 422),
        ("POST", elsewhere, json, config_map("a", json!({})), 404),
        ("PUT", MAPS, json, json!({}), 405),
        ("GET", MAPS, ("accept", "text/html"), Value::Null, 406),
        ("GET", "/api/v1/nothings", json, Value::Null, 404),
        (
            "GET",
            "/apis/nobody.example.com/v1/things",
            json,
            Value::Null,
            404,
        ),
    ];
    for (method, path, header, body, code) in cases {
        let said = Said {
            headers: &[header],
            body: (!body.is_null()).then(|| body.clone()),
            anonymous: false,
        };
        let response = world.send(method, path, said).await;
        assert_eq!(response.status(), code, "{method} {path} {header:?}");
    }
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn discovery_tells_of_every_kind() {
    let world = World::start().await;
    let (_, core) = world.ask("GET", "/api/v1", None).await;
    let resources = core["resources"].as_array().unwrap().iter();
    let names: Vec<_> = resources.filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"configmaps") && names.contains(&"pods/eviction"));
    let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let said = Said {
        headers: &[("accept", media)],
        ..Said::default()
    };
    let response = world.send("GET", "/apis", said).await;
    assert_eq!(response.headers()["content-type"], media);
    let groups = read(response).await;
    assert_eq!(groups["kind"], "APIGroupDiscoveryList");
    let (_, index) = world.ask("GET", "/openapi/v3", None).await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let response = world.send("GET", url, Said::default()).await;
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let said = Said {
        headers: &[("if-none-match", &tag)],
        ..Said::default()
    };
    assert_eq!(world.send("GET", url, said).await.status(), 304);
    world.running.stop().await.unwrap();
}
