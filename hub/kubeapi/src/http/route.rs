//! The way of one request: who asks, may they, and which part answers.
//!
//! Order, as on a real server: authentication, impersonation, authorization, then the table of
//! kinds. Whoever is not allowed learns nothing about what exists.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT};
use hyper::{Method, Request, Response};
use tokio_util::sync::CancellationToken;

use super::accept::{Accept, Offer, negotiate};
use super::answer::{Answer, Body};
use super::path::{Path, Target};
use super::query::Query;
use super::{Audited, Server, body};
use crate::auth::impersonate::{self, Refusal};
use crate::auth::{Attributes, Authorizer as _, User, forbidden, require, selected_name};
use crate::discovery;
use crate::error::Status;
use crate::kinds::Kind;
use crate::rest::{Call, Verb, Warnings};

/// Who asks.
struct Caller {
    user: User,
    impersonator: Option<User>,
}

impl Server {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<&[u8]>,
        stop: CancellationToken,
    ) -> Response<Body> {
        let method = request.method().clone();
        let target = request.uri().to_string();
        let caller = self.caller(&request, certificate);
        let (answer, accept, caller) = match caller {
            Ok(caller) => {
                let mut accept = Accept::default();
                let answered = self.route(request, &caller, stop, &mut accept).await;
                (answered.unwrap_or_else(Answer::from), accept, caller)
            }
            Err(answer) => {
                let caller = Caller {
                    user: User::anonymous(),
                    impersonator: None,
                };
                (*answer, Accept::default(), caller)
            }
        };
        self.audit.answered(&Audited {
            user: &caller.user,
            impersonator: caller.impersonator.as_ref(),
            method: method.as_str(),
            target: &target,
            code: answer.code,
        });
        answer.into_response(accept)
    }

    fn caller(
        &self,
        request: &Request<Incoming>,
        certificate: Option<&[u8]>,
    ) -> Result<Caller, Box<Answer>> {
        let authorization = header_text(request, &AUTHORIZATION);
        let authorization = (!authorization.is_empty()).then_some(authorization);
        let refused = |status: Status| Box::new(Answer::from(status));
        let user = self
            .engine
            .authenticator()
            .authenticate(certificate, authorization)
            .map_err(refused)?;
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
        let refused = |refusal| match refusal {
            Refusal::Headers(why) => {
                Box::new(Answer::text(500, format!("Internal Server Error: {why}\n")))
            }
            Refusal::Forbidden(status) => Box::new(Answer::from(status)),
        };
        let wish = impersonate::Wish::from_headers(headers).map_err(refused)?;
        Ok(match wish {
            None => Caller {
                user,
                impersonator: None,
            },
            Some(wish) => Caller {
                user: wish.grant(&user, &**self.engine.rbac()).map_err(refused)?,
                impersonator: Some(user),
            },
        })
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        stop: CancellationToken,
        accept: &mut Accept,
    ) -> Result<Answer, Status> {
        let path = Path::parse(request.uri().path());
        let query = Query::parse(request.uri().query().unwrap_or_default());
        match path {
            Path::Resource(target) => {
                self.resource(request, caller, (target, query, stop), accept)
                    .await
            }
            other => {
                let verb = request.method().as_str().to_ascii_lowercase();
                let attributes = Attributes {
                    path: request.uri().path(),
                    ..Attributes::new(&caller.user, &verb)
                };
                require(&**self.engine.rbac(), &attributes)?;
                discovery::answer(&self.engine, &request, &other, &query, accept)
            }
        }
    }

    async fn resource(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        (target, query, stop): (Target, Query, CancellationToken),
        accept: &mut Accept,
    ) -> Result<Answer, Status> {
        let verb = verb(request.method(), &target, &query);
        self.authorize(&caller.user, verb, &target, &query)?;
        let Some(kind) = self.engine.kind(&target) else {
            return Ok(self.unknown(&target));
        };
        let verb = served(verb, &kind, &target)?;
        // A broken `Accept` is answered in JSON, like everything before this line.
        *accept = negotiate(header_text(&request, &ACCEPT), Offer::Objects(kind.custom))?;
        let content_type = header_text(&request, &CONTENT_TYPE).to_owned();
        let agent = header_text(&request, &USER_AGENT).to_owned();
        let bytes = body::collect(request.into_body(), self.limits.body_bytes_max).await?;
        let call = Call {
            stored: self.engine.stored(&kind),
            warnings: Warnings::default(),
            kind,
            target,
            query,
            user: caller.user.clone(),
            agent,
            content_type,
            body: bytes,
            shape: accept.shape,
            stop,
        };
        Ok(Arc::clone(&self.engine).handle(verb, call).await)
    }

    fn authorize(
        &self,
        user: &User,
        verb: Verb,
        target: &Target,
        query: &Query,
    ) -> Result<(), Status> {
        let selected = match verb {
            Verb::List | Verb::Watch if target.name.is_empty() => {
                selected_name(query.get("fieldSelector")).unwrap_or_default()
            }
            _ => "",
        };
        let name = if target.name.is_empty() {
            selected
        } else {
            &target.name
        };
        // The namespace itself counts as being in itself.
        let namespace = if target.resource == "namespaces" && target.group.is_empty() {
            &target.name
        } else {
            &target.namespace
        };
        let attributes = Attributes {
            group: &target.group,
            version: &target.version,
            resource: &target.resource,
            subresource: &target.subresource,
            namespace,
            name,
            ..Attributes::new(user, verb.name())
        };
        let decision = self.engine.rbac().allowed(&attributes);
        if decision.allowed {
            Ok(())
        } else {
            Err(forbidden(&attributes, &decision.reason))
        }
    }

    /// A resource that is not in the table: plain text, unless its group version is.
    fn unknown(&self, target: &Target) -> Answer {
        if self.engine.serves(&target.group, &target.version) {
            let mut status = Status::new(
                404,
                "NotFound",
                "the server could not find the requested resource",
            );
            status.details = Some(Default::default());
            return status.into();
        }
        not_found()
    }
}

/// 404 of a path that nobody knows.
pub(crate) fn not_found() -> Answer {
    Answer::text(404, "404 page not found\n")
}

/// The text of a header; empty = absent or not text.
pub(crate) fn header_text<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> &'a str {
    let value = request.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn verb(method: &Method, target: &Target, query: &Query) -> Verb {
    let collection = target.name.is_empty();
    match *method {
        Method::GET | Method::HEAD if target.watch => Verb::Watch,
        Method::GET | Method::HEAD if !collection => Verb::Get,
        Method::GET | Method::HEAD if query.is_set("watch") => Verb::Watch,
        Method::GET | Method::HEAD => Verb::List,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if collection => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => Verb::Other,
    }
}

/// Refuses what this resource does not serve: unknown parts with a 404, verbs with a 405.
fn served(verb: Verb, kind: &Kind, target: &Target) -> Result<Verb, Status> {
    let missing = || {
        let text = "the server could not find the requested resource";
        let mut status = Status::new(404, "NotFound", text);
        status.details = Some(Default::default());
        if kind.custom {
            status = status.about(&kind.group, &kind.plural, &target.name);
        }
        status
    };
    let refused = || {
        let text = "the server does not allow this method on the requested resource";
        let mut status = Status::new(405, "MethodNotAllowed", text);
        status.details = Some(Default::default());
        status
    };
    if !target.subresource.is_empty() {
        let known = kind.subresources.iter();
        let part = known.clone().find(|part| part.name == target.subresource);
        let part = part.ok_or_else(missing)?;
        if kind.namespaced == target.namespace.is_empty() {
            return Err(missing());
        }
        let verbs = &part.verbs;
        return if verbs.iter().any(|known| known == verb.name()) {
            Ok(verb)
        } else {
            Err(refused())
        };
    }
    let collection = target.name.is_empty();
    if !kind.namespaced && !target.namespace.is_empty() {
        return Err(missing());
    }
    if kind.namespaced && target.namespace.is_empty() {
        // Of all namespaces there are lists and watches only.
        return match verb {
            Verb::List | Verb::Watch if collection => Ok(verb),
            _ if collection => Err(refused()),
            _ => Err(missing()),
        };
    }
    let fits = match verb {
        Verb::Create => collection,
        Verb::Update | Verb::Patch | Verb::Delete | Verb::Get => !collection,
        _ => true,
    };
    if fits && kind.verbs.iter().any(|known| known == verb.name()) {
        Ok(verb)
    } else {
        Err(refused())
    }
}
