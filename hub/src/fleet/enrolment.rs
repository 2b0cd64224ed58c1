//! Enrolment over gRPC: challenge, join, recover. Served without a client certificate.
//!
//! Decides nothing; it ties a request to its connection and maps refusals to status codes. Secrets are
//! never logged.

use std::sync::Arc;

use flotilla_proto::v1;
use flotilla_proto::v1::enrolment_server::Enrolment;
use ring::rand::{SecureRandom, SystemRandom};
use tonic::{Code, Request, Response, Status};

use super::acceptor::Peer;
use super::server::Shell;
use super::share::ClusterName;
use crate::pki::{JoinAsk, LeafParts, Pki, PkiError, Proof, RecoverAsk, RenewAsk};

/// The service.
pub(super) struct EnrolmentService {
    pub(super) shell: Arc<Shell>,
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn challenge(
        &self,
        request: Request<v1::ChallengeRequest>,
    ) -> Result<Response<v1::ChallengeResponse>, Status> {
        let mut nonce = [0; 32];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| to_status(&PkiError::Random))?;
        if !peer_of(&request)?.give_nonce(nonce) {
            let why = "too many challenges on one connection; connect again";
            return Err(Status::resource_exhausted(why));
        }
        let nonce = nonce.to_vec().into();
        Ok(Response::new(v1::ChallengeResponse { nonce }))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::Leaf>, Status> {
        self.shell.lead()?;
        let peer = peer_of(&request)?;
        let address = peer.address();
        let join = request.get_ref();
        let nonce = peer.take_nonce(&join.nonce).ok_or_else(stale_nonce)?;
        let ask = JoinAsk {
            token: &join.token,
            secret: &join.secret,
            csr_der: &join.csr_der,
            identity_key: &join.identity_key,
            cluster_uid: &join.cluster_uid,
            proof: Proof {
                nonce: &nonce,
                exporter: peer.exporter(),
                signature: &join.signature,
            },
        };
        let pki = self.shell.pki();
        match pki.join(&ask).await {
            Ok((cluster, leaf)) => {
                tracing::info!(%cluster, token = %join.token, %address, "cluster joined");
                Ok(Response::new(to_leaf(pki, &cluster, leaf)))
            }
            Err(error) => {
                tracing::warn!(token = ?join.token, %address, %error, "join refused");
                Err(to_status(&error))
            }
        }
    }

    async fn recover(
        &self,
        request: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::Leaf>, Status> {
        self.shell.lead()?;
        let peer = peer_of(&request)?;
        let address = peer.address();
        let recover = request.get_ref();
        let nonce = peer.take_nonce(&recover.nonce).ok_or_else(stale_nonce)?;
        let ask = RecoverAsk {
            cluster: &recover.cluster,
            cluster_uid: &recover.cluster_uid,
            renew: RenewAsk {
                csr_der: &recover.csr_der,
                counter: recover.counter,
                fence: recover.fence,
            },
            proof: Proof {
                nonce: &nonce,
                exporter: peer.exporter(),
                signature: &recover.signature,
            },
        };
        let pki = self.shell.pki();
        match pki.recover(&ask).await {
            Ok((cluster, leaf)) => {
                tracing::info!(%cluster, %address, "leaf recovered by identity key");
                Ok(Response::new(to_leaf(pki, &cluster, leaf)))
            }
            Err(error) => {
                tracing::warn!(cluster = ?recover.cluster, %address, %error, "recovery refused");
                Err(to_status(&error))
            }
        }
    }
}

/// What is known of the peer of a request.
pub(super) fn peer_of<T>(request: &Request<T>) -> Result<&Peer, Status> {
    let peer = request.extensions().get::<Peer>();
    peer.ok_or_else(|| Status::internal("no peer on this connection"))
}

pub(super) fn to_leaf(pki: &Pki, cluster: &ClusterName, leaf: LeafParts) -> v1::Leaf {
    v1::Leaf {
        chain: leaf.chain_pem,
        trust_bundle: pki.ca().bundle_pem().to_owned(),
        trust_version: pki.ca().bundle_version(),
        serial: leaf.serial,
        not_after_unix: leaf.not_after_unix,
        cluster: cluster.to_string(),
    }
}

/// The one table of refusals and status codes.
pub(super) fn to_status(error: &PkiError) -> Status {
    let code = match error {
        PkiError::NoSuchToken | PkiError::Signature | PkiError::NotEnrolled => {
            Code::Unauthenticated
        }
        PkiError::Expired
        | PkiError::Used
        | PkiError::TokenLocked
        | PkiError::NotActive { .. }
        | PkiError::Cloned { .. }
        | PkiError::Outdated { .. } => Code::PermissionDenied,
        PkiError::UidTaken { .. } | PkiError::NameTaken { .. } => Code::AlreadyExists,
        PkiError::TooOften { .. } => Code::ResourceExhausted,
        PkiError::Bad(_) => Code::InvalidArgument,
        PkiError::Durable(_) => Code::Unavailable,
        PkiError::Certificate(_) | PkiError::Stored(_) | PkiError::Random | PkiError::Tls(_) => {
            return Status::internal("the hub could not make a certificate");
        }
    };
    match error {
        // What the front door says is not for a peer without identity.
        PkiError::Durable(_) => Status::new(code, "the front door did not answer; try again"),
        shown => Status::new(code, shown.to_string()),
    }
}

fn stale_nonce() -> Status {
    Status::failed_precondition("the challenge is used, too old or of another connection")
}
