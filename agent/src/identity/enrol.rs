//! Asks the hub for a leaf: by token the first time, over the session later, by the identity key after
//! a long absence. Each proof is tied to its connection.

use std::time::Duration;

use flotilla_proto::join::JoinString;
use flotilla_proto::limits::DECODE_BYTES_MAX;
use flotilla_proto::v1;
use flotilla_proto::v1::enrolment_client::EnrolmentClient;
use flotilla_proto::v1::fleet_client::FleetClient;
use ring::digest::{SHA256, digest};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Identity, IdentityError, tls};

/// An answer takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Begins what is signed for a join.
const JOIN: &[u8] = b"flotilla join v1";
/// Begins what is signed for a recovery.
const RECOVER: &[u8] = b"flotilla recover v1";

fn refused(what: &'static str) -> impl Fn(Status) -> IdentityError {
    move |status| IdentityError::Refused {
        what,
        why: status.message().to_owned(),
        last_word: matches!(
            status.code(),
            Code::PermissionDenied
                | Code::Unauthenticated
                | Code::InvalidArgument
                | Code::AlreadyExists
                | Code::NotFound
        ),
    }
}

/// What is signed: nonce, exporter, request and cluster, after a word that says what for.
fn proof(word: &[u8], nonce: &[u8], exporter: &[u8], request: &[u8], cluster_uid: &str) -> Vec<u8> {
    let request = digest(&SHA256, request);
    [
        word,
        nonce,
        exporter,
        request.as_ref(),
        cluster_uid.as_bytes(),
    ]
    .concat()
}

async fn challenge(client: &mut EnrolmentClient<Channel>) -> Result<bytes::Bytes, Status> {
    let request = within(v1::ChallengeRequest {});
    Ok(client.challenge(request).await?.into_inner().nonce)
}

fn within<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_MAX);
    request
}

fn client(channel: Channel) -> EnrolmentClient<Channel> {
    EnrolmentClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX)
}

/// Joins by token.
///
/// # Errors
/// When the hub is not reached, or refuses.
pub async fn join(
    identity: &mut Identity,
    join: &JoinString,
    cluster_uid: &str,
    now_unix: u64,
) -> Result<(), IdentityError> {
    identity.prepare(join).await?;
    let config = tls::join_config(&join.root_spki_sha256)?;
    let dialled = tls::dial(&join.hub, &join.server_name, config).await?;
    let mut client = client(dialled.channel);
    let nonce = challenge(&mut client).await.map_err(refused("join"))?;
    let csr_der = identity.request()?;
    let message = proof(JOIN, &nonce, &dialled.exporter, &csr_der, cluster_uid);
    let request = v1::JoinRequest {
        token: join.token.clone(),
        secret: join.secret.to_vec().into(),
        identity_key: identity.public_key()?.into(),
        cluster_uid: cluster_uid.to_owned(),
        signature: identity.sign(&message)?.into(),
        csr_der: csr_der.into(),
        nonce,
    };
    let leaf = client.join(within(request)).await;
    let leaf = leaf.map_err(refused("join"))?.into_inner();
    identity.accept(&leaf, now_unix).await
}

/// Renews over a session.
///
/// # Errors
/// When the hub refuses or does not answer; the old leaf stays.
pub async fn renew(
    identity: &mut Identity,
    channel: Channel,
    fence: u64,
    now_unix: u64,
) -> Result<(), IdentityError> {
    let (csr_der, counter) = identity.prepare_renewal().await?;
    let request = v1::RenewRequest {
        csr_der: csr_der.into(),
        counter,
        fence,
    };
    let mut client = FleetClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX);
    let leaf = client.renew(within(request)).await;
    let leaf = leaf.map_err(refused("renew"))?.into_inner();
    identity.accept(&leaf, now_unix).await
}

/// Comes back with a leaf that has ended.
///
/// # Errors
/// When the hub is not reached, or wants a person to approve.
pub async fn recover(
    identity: &mut Identity,
    cluster_uid: &str,
    fence: u64,
    now_unix: u64,
) -> Result<(), IdentityError> {
    let (csr_der, counter) = identity.prepare_renewal().await?;
    let (hub, server_name) = identity.hub();
    let config = tls::recovery_config(identity.credentials().2)?;
    let dialled = tls::dial(hub, server_name, config).await?;
    let mut client = client(dialled.channel);
    let nonce = challenge(&mut client).await.map_err(refused("recover"))?;
    let message = proof(RECOVER, &nonce, &dialled.exporter, &csr_der, cluster_uid);
    let request = v1::RecoverRequest {
        cluster: identity.cluster().to_owned(),
        cluster_uid: cluster_uid.to_owned(),
        signature: identity.sign(&message)?.into(),
        csr_der: csr_der.into(),
        nonce,
        counter,
        fence,
    };
    let leaf = client.recover(within(request)).await;
    let leaf = leaf.map_err(refused("recover"))?.into_inner();
    identity.accept(&leaf, now_unix).await
}
