//! Who gets an identity, which one, and how it ends.

use flotilla_hub::durable::{CLUSTER, Durable, ENROLMENT, JOIN_TOKEN, Key};
use flotilla_hub::fleet::share::ClusterName;
use flotilla_hub::pki::Standing;
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::Code;
use x509_parser::extensions::GeneralName;

use super::support::{Agent, CUT, Hub, Identity, mk_hub, mk_hub_over};

/// DNS names of a leaf, and its other marks.
fn names_of(chain: &str) -> Vec<String> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(certificate.subject().iter().next().is_none(), "a subject");
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && usage.other.is_empty());
    assert!(!certificate.is_ca());
    let validity = certificate.validity();
    let life = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert_eq!(life, 24 * 3600 + 300);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter();
    names
        .map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            other => panic!("{other:?} in a leaf"),
        })
        .collect()
}

#[tokio::test]
async fn a_join_makes_the_cluster_the_token_describes() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    assert_eq!(leaf.cluster, "edge");
    assert_eq!(names_of(&leaf.chain), ["edge.default.agents.hub.test"]);
    let cluster = hub.get(&Key::global(CLUSTER, "edge")).await;
    assert_eq!(cluster["spec"]["id"], "uid-edge");
    assert_eq!(cluster["spec"]["syncMode"], "Pull");
    assert_eq!(cluster["spec"]["provider"], "aliyun");
    assert_eq!(cluster["spec"]["zones"][1], "b");
    assert_eq!(cluster["metadata"]["labels"]["tier"], "edge");
    let enrolment = hub.enrolment("edge").await;
    assert_eq!(enrolment["spec"]["state"], "Active");
    assert_eq!(enrolment["status"]["serials"][0], leaf.serial.as_str());
    let token = hub.get(&Key::global(JOIN_TOKEN, "edge")).await;
    assert_eq!(token["status"]["clusterUid"], "uid-edge");
}

#[tokio::test]
async fn a_request_that_asks_for_another_name_gets_its_own() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    let mut identity = Identity::new("uid-edge");
    identity.csr_names = vec![
        "other.default.agents.hub.test".to_owned(),
        "hub.test".to_owned(),
    ];
    let leaf = identity.join(&hub, "edge", &secret).await.unwrap();
    assert_eq!(names_of(&leaf.chain), ["edge.default.agents.hub.test"]);
}

#[tokio::test]
async fn tokens_that_do_not_let_in() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    let join = async |token: &str, secret: &[u8], uid: &str| {
        let joined = Identity::new(uid).join(&hub, token, secret).await;
        joined.err().map(|s| (s.code(), s.message().to_owned()))
    };
    let check = |got: Option<(Code, String)>, code: Code, words: &str| {
        let (got, message) = got.expect("refused");
        assert!(got == code && message.contains(words), "{got:?} {message}");
    };
    let (unauthenticated, denied) = (Code::Unauthenticated, Code::PermissionDenied);
    check(join("none", &secret, "u").await, unauthenticated, "unknown");
    check(
        join("../edge", &secret, "u").await,
        unauthenticated,
        "unknown",
    );
    check(
        join("edge", &[7; 32], "u").await,
        unauthenticated,
        "unknown",
    );
    check(join("edge", b"", "u").await, unauthenticated, "unknown");
    check(
        join("edge", &secret, "").await,
        Code::InvalidArgument,
        "UID",
    );
    assert_eq!(join("edge", &secret, "uid-edge").await, None);
    check(join("edge", &secret, "uid-edge").await, denied, "used");
    // Another token for the same member, and for the same name.
    hub.token("twice", "edge-2").await;
    let twice = join("twice", &secret, "uid-edge").await;
    check(twice, Code::AlreadyExists, "already is cluster edge");
    hub.token("squat", "edge").await;
    let squat = join("squat", &secret, "uid-x").await;
    check(squat, Code::AlreadyExists, "cluster edge is another member");
    hub.token("late", "late").await;
    hub.skip(3601);
    check(join("late", &secret, "uid-late").await, denied, "expired");
}

#[tokio::test]
async fn five_wrong_secrets_lock_a_token_for_good() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    for _ in 0..5 {
        let wrong = Identity::new("u").join(&hub, "edge", &[1; 32]).await;
        assert_eq!(wrong.err().map(|s| s.code()), Some(Code::Unauthenticated));
    }
    let locked = Identity::new("u").join(&hub, "edge", &secret).await;
    assert!(locked.err().unwrap().message().contains("locked"));
    // Also for the next hub over the same front door.
    let next = mk_hub_over(hub.durable.clone()).await;
    let locked = Identity::new("u").join(&next, "edge", &secret).await;
    assert!(locked.err().unwrap().message().contains("locked"));
}

#[tokio::test]
async fn a_lost_answer_may_be_asked_for_again_with_the_same_key_only() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    let identity = Identity::new("uid-edge");
    let ask = async |hub: &Hub| {
        let mut dialled = hub.dial(None).await.unwrap();
        let request = identity.join_request(&mut dialled, "edge", &secret).await;
        dialled.enrolment.join(request).await
    };
    let first = ask(&hub).await.unwrap().into_inner();
    let second = ask(&hub).await.unwrap().into_inner();
    assert_eq!(first.cluster, second.cluster);
    let serials = hub.enrolment("edge").await["status"]["serials"].clone();
    assert_eq!(serials, serde_json::json!([first.serial, second.serial]));
    hub.skip(3601);
    let late = ask(&hub).await.err().unwrap();
    assert!(late.message().contains("expired"), "{late}");
}

#[tokio::test]
async fn many_keys_for_one_token_get_one_identity() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    let joins = (0..20).map(|_| Identity::new("uid-edge").join(&hub, "edge", &secret));
    let results = futures::future::join_all(joins).await;
    let joined = results.iter().filter(|r| r.is_ok()).count();
    assert_eq!(joined, 1);
}

#[tokio::test]
async fn a_proof_holds_on_its_own_connection_once() {
    let hub = mk_hub().await;
    let secret = hub.token("edge", "edge").await;
    let identity = Identity::new("uid-edge");
    let mut first = hub.dial(None).await.unwrap();
    let mut second = hub.dial(None).await.unwrap();
    let request = identity.join_request(&mut first, "edge", &secret).await;
    // Carried over to another connection, with that one's nonce: the exporter differs.
    let relayed = second.enrolment.challenge(v1::ChallengeRequest {}).await;
    let nonce = relayed.unwrap().into_inner().nonce;
    let csr = request.csr_der.clone();
    let signature = identity.sign("join", &nonce, &first.exporter, &csr).into();
    let relayed = v1::JoinRequest {
        nonce,
        signature,
        ..request.clone()
    };
    let refused = second.enrolment.join(relayed).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let replayed = second.enrolment.join(request.clone()).await.err().unwrap();
    assert_eq!(replayed.code(), Code::FailedPrecondition);
    let forged = v1::JoinRequest {
        cluster_uid: "uid-other".into(),
        ..request.clone()
    };
    let refused = first.enrolment.join(forged).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let again = first.enrolment.join(request).await.err().unwrap();
    assert_eq!(again.code(), Code::FailedPrecondition, "used up");
    let fresh = identity.join_request(&mut first, "edge", &secret).await;
    assert!(first.enrolment.join(fresh).await.is_ok());
}

#[tokio::test]
async fn a_connection_gets_a_few_challenges_only() {
    let hub = mk_hub().await;
    let mut dialled = hub.dial(None).await.unwrap();
    for _ in 0..8 {
        let challenge = dialled.enrolment.challenge(v1::ChallengeRequest {}).await;
        assert!(challenge.is_ok());
    }
    let refused = dialled.enrolment.challenge(v1::ChallengeRequest {}).await;
    assert_eq!(refused.err().unwrap().code(), Code::ResourceExhausted);
    let mut other = hub.dial(None).await.unwrap();
    let challenge = other.enrolment.challenge(v1::ChallengeRequest {}).await;
    assert!(challenge.is_ok());
}

#[tokio::test]
async fn renewal_and_its_clone() {
    let hub = mk_hub().await;
    let first = hub.joined("edge").await;
    let second = first.renew(&hub, 1, 3).await.unwrap();
    assert_eq!(names_of(&second.chain), names_of(&first.chain));
    // The answer may have been lost: the same counter again, by the leaf before.
    assert!(first.renew(&hub, 1, 3).await.is_ok());
    let enrolment = hub.enrolment("edge").await;
    assert_eq!(enrolment["status"]["renewCounter"], 1);
    assert_eq!(enrolment["status"]["fence"], 3);
    // The first leaf is not among the last two any more.
    let old = first.renew(&hub, 2, 3).await.err().unwrap();
    assert_eq!(old.code(), Code::PermissionDenied);
    let third = second.renew(&hub, 2, 4).await.unwrap();
    let outdated = third.renew(&hub, 1, 3).await.err().unwrap();
    assert!(outdated.message().contains("older"), "{outdated}");
    let (mut live, _) = Agent::greeted(&hub, &third).await;
    let clone = third.renew(&hub, 1, 4).await.err().unwrap();
    assert!(clone.message().contains("in use twice"), "{clone}");
    assert_eq!(hub.enrolment("edge").await["spec"]["state"], "Locked");
    assert!(live.goaway().await.r#final);
    let shut = hub.dial(Some(&third)).await.err();
    let shut = match shut {
        Some(code) => code,
        None => Agent::open(&hub, Some(&third)).await.err().unwrap(),
    };
    assert_eq!(shut, CUT, "refused in the handshake");
}

#[tokio::test]
async fn an_equal_counter_after_the_new_leaf_was_used_is_a_clone() {
    let hub = mk_hub().await;
    let first = hub.joined("edge").await;
    let second = first.renew(&hub, 1, 1).await.unwrap();
    let (_session, _) = Agent::greeted(&hub, &second).await;
    let clone = first.renew(&hub, 1, 1).await.err().unwrap();
    assert!(clone.message().contains("in use twice"), "{clone}");
}

#[tokio::test]
async fn an_ended_leaf_comes_back_by_the_identity_key() {
    let hub = mk_hub().await;
    let mut leaf = hub.joined("edge").await;
    hub.skip(25 * 3600);
    let refused = Agent::open(&hub, Some(&leaf)).await.err();
    assert_eq!(refused, Some(Code::Unauthenticated));
    let mut thief = leaf.again();
    let stolen = thief.recover(&hub, 1, 1).await.err().unwrap();
    assert_eq!(stolen.code(), Code::Unauthenticated, "another identity key");
    leaf.recover(&hub, 1, 1).await.unwrap();
    assert_eq!(names_of(&leaf.chain), ["edge.default.agents.hub.test"]);
    hub.pki.revoke(&ClusterName::new("edge")).await.unwrap();
    let revoked = leaf.recover(&hub, 2, 1).await.err().unwrap();
    assert!(revoked.message().contains("Revoked"), "{revoked}");
}

#[tokio::test]
async fn revocation_ends_a_live_session_and_the_next_handshake() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    let other = hub.joined("other").await;
    let (mut agent, _) = Agent::greeted(&hub, &leaf).await;
    let (mut bystander, _) = Agent::greeted(&hub, &other).await;
    // As the index says it when a person edits the Enrolment.
    let edge = ClusterName::new("edge");
    hub.pki.revocations().set(&edge, Standing::Revoked);
    assert!(agent.goaway().await.r#final);
    let refused = Agent::open(&hub, Some(&leaf)).await.err();
    assert_eq!(refused, Some(CUT));
    bystander.say(ToHub::Ping(v1::Ping { t: 7 })).await;
    assert!(bystander.next().await.is_some(), "others go on");
    // Unlocked by a person: the same leaf is good again.
    hub.pki.revocations().set(&edge, Standing::Active);
    assert!(Agent::open(&hub, Some(&leaf)).await.is_ok());
    // The Enrolment is deleted: nobody comes in by it.
    let enrolment = hub.enrolment("edge").await;
    let text = |field: &str| enrolment["metadata"][field].as_str().unwrap().to_owned();
    let key = Key::global(ENROLMENT, "edge");
    let (uid, version) = (text("uid"), text("resourceVersion"));
    hub.durable.delete(&key, &uid, &version).await.unwrap();
    hub.pki.revocations().set_deleted(&edge);
    assert!(Agent::open(&hub, Some(&leaf)).await.is_err());
}

#[tokio::test]
async fn a_leaf_of_a_foreign_ca_and_a_forged_name_stay_out() {
    let hub = mk_hub().await;
    hub.joined("edge").await;
    let foreign = mk_hub().await;
    let stranger = foreign.joined("edge").await;
    let refused = Agent::open(&hub, Some(&stranger)).await.err();
    assert_eq!(refused, Some(CUT));
    assert!(Agent::open(&foreign, Some(&stranger)).await.is_ok());
}

#[tokio::test]
async fn two_hubs_over_one_front_door_have_one_root() {
    let hub = mk_hub().await;
    let next = mk_hub_over(hub.durable.clone()).await;
    assert_eq!(hub.pki.ca().spki_pin(), next.pki.ca().spki_pin());
    let leaf = next.joined("edge").await;
    assert!(Agent::open(&next, Some(&leaf)).await.is_ok());
    // The hub whose reign ended serves nobody, though it holds the same root.
    hub.epochs.refresh().await.unwrap();
    let refused = Agent::open(&hub, Some(&leaf)).await.err();
    assert_eq!(refused, Some(Code::Unavailable));
}
