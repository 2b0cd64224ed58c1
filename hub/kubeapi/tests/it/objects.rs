//! How objects live: writes, finalizers, pages, definitions, services, and a restart.

use flotilla_kubeapi::server::Storage;
use serde_json::{Value, json};

use crate::world::{MAPS, World, config_map};

#[tokio::test]
async fn an_object_lives_and_goes() {
    let world = World::start().await;
    let made = config_map("a", json!({"k": "1"}));
    let (code, first) = world.ask("POST", MAPS, Some(made.clone())).await;
    assert_eq!(code, 201, "{first}");
    assert!(first["metadata"]["uid"].is_string());
    let (code, again) = world.ask("POST", MAPS, Some(made)).await;
    assert_eq!((code, &again["reason"]), (409, &json!("AlreadyExists")));
    let one = format!("{MAPS}/a");
    let (code, same) = world
        .ask("PATCH", &one, Some(json!({"data": {"k": "1"}})))
        .await;
    assert_eq!(code, 200, "{same}");
    assert_eq!(
        same["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"],
        "a patch that changes nothing writes nothing"
    );
    let (_, changed) = world
        .ask("PATCH", &one, Some(json!({"data": {"k": "2"}})))
        .await;
    assert_eq!(changed["data"]["k"], "2");
    let (code, refused) = world.ask("PUT", &one, Some(first.clone())).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    let (code, gone) = world.ask("DELETE", &one, None).await;
    assert_eq!((code, &gone["status"]), (200, &json!("Success")), "{gone}");
    assert_eq!(gone["details"]["uid"], first["metadata"]["uid"]);
    assert_eq!(world.ask("GET", &one, None).await.0, 404);
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let world = World::start().await;
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/f"]);
    assert_eq!(world.ask("POST", MAPS, Some(held)).await.0, 201);
    let one = format!("{MAPS}/held");
    let (_, marked) = world.ask("DELETE", &one, None).await;
    assert!(
        marked["metadata"]["deletionTimestamp"].is_string(),
        "{marked}"
    );
    let more = json!({"metadata": {"finalizers": ["example.com/f", "example.com/g"]}});
    assert_eq!(world.ask("PATCH", &one, Some(more)).await.0, 422);
    let none = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.ask("PATCH", &one, Some(none)).await.0, 200);
    assert_eq!(world.ask("GET", &one, None).await.0, 404);
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn pages_show_one_moment() {
    let world = World::start().await;
    for name in ["a", "b", "c"] {
        world
            .ask("POST", MAPS, Some(config_map(name, json!({}))))
            .await;
    }
    let (_, first) = world.ask("GET", &format!("{MAPS}?limit=2"), None).await;
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    world.ask("DELETE", &format!("{MAPS}/c"), None).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = format!("{MAPS}?limit=2&continue={token}");
    let (_, second) = world.ask("GET", &next, None).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "c", "{second}");
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_definition_is_served_at_once_and_goes_with_its_objects() {
    let world = World::start().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "default": 3, "maximum": 9}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}});
    assert_eq!(
        world.ask("POST", definitions, Some(definition)).await.0,
        201
    );
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = |name: &str, spec: Value| {
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
            "spec": spec})
    };
    let (code, made) = world
        .ask("POST", widgets, Some(widget("w", json!({}))))
        .await;
    assert_eq!((code, &made["spec"]["size"]), (201, &json!(3)), "{made}");
    let (code, _) = world
        .ask("POST", widgets, Some(widget("big", json!({"size": 10}))))
        .await;
    assert_eq!(code, 422);
    let one = format!("{definitions}/widgets.example.com");
    assert_eq!(world.ask("DELETE", &one, None).await.0, 200);
    assert_eq!(world.ask("GET", widgets, None).await.0, 404);
    assert_eq!(world.ask("GET", &one, None).await.0, 404);
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn services_are_given_what_no_other_has() {
    let world = World::start().await;
    let services = "/api/v1/namespaces/default/services";
    let mut seen = Vec::new();
    for name in ["a", "b", "c"] {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        let (code, made) = world.ask("POST", services, Some(service)).await;
        assert_eq!(code, 201, "{made}");
        let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
        assert!(address.starts_with("10.96.") && address != "10.96.0.1");
        let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
        assert!((30_000..=32_767).contains(&port));
        assert!(!seen.contains(&(address.clone(), port)));
        seen.push((address, port));
    }
    let same = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "d"},
        "spec": {"clusterIP": seen[0].0, "ports": [{"port": 80}]}});
    assert_eq!(world.ask("POST", services, Some(same)).await.0, 422);
    let back = json!({"spec": {"type": "ClusterIP"}});
    let (_, kept) = world
        .ask("PATCH", &format!("{services}/a"), Some(back))
        .await;
    assert_eq!(kept["spec"]["clusterIP"], seen[0].0.as_str());
    assert!(kept["spec"]["ports"][0].get("nodePort").is_none(), "{kept}");
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_finds_everything() {
    let name = format!("kubeapi-{}", uuid::Uuid::new_v4().simple());
    let directory = std::env::temp_dir().join(name);
    let world = World::open(Storage::Directory(directory.clone())).await;
    assert_eq!(
        world
            .ask("POST", MAPS, Some(config_map("a", json!({"k": "1"}))))
            .await
            .0,
        201
    );
    let before = world.running.kubeconfig.clone();
    world.running.stop().await.unwrap();
    let world = World::open(Storage::Directory(directory.clone())).await;
    let (code, found) = world.ask("GET", &format!("{MAPS}/a"), None).await;
    assert_eq!((code, &found["data"]["k"]), (200, &json!("1")), "{found}");
    let user = |config: &str| serde_json::from_str::<Value>(config).unwrap()["users"].clone();
    assert_eq!(
        user(&before),
        user(&world.running.kubeconfig),
        "the admin stays the admin"
    );
    world.running.stop().await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}
