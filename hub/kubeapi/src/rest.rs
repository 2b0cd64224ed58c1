//! The engine: one generic handler for every kind of the table.
//!
//! This file holds what is shared (table, cachers, rights) and sends each verb to its file. The
//! way of an object from a body to the store stands in one place, `rest/pipeline.rs`.

mod admit;
mod commit;
mod create;
mod definitions;
mod delete;
mod list;
mod meta;
mod options;
mod ownership;
mod patch;
mod pipeline;
mod scale;
mod services;
mod show;
mod special;
mod steps;
mod update;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub(crate) use self::show::partial;
use crate::auth::User;
use crate::auth::authn::Authenticator;
use crate::auth::rbac::Rbac;
use crate::cacher::{Cacher, Cachers, Options};
use crate::error::Status;
use crate::http::accept::Shape;
use crate::http::answer::Answer;
use crate::http::path::Target;
use crate::http::query::Query;
use crate::kinds::{Kind, Profile};
use crate::store::{Store, StoreError};

/// The table of kinds by group, version and plural.
pub type Table = BTreeMap<(String, String, String), Arc<Kind>>;

/// What a request does to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads a collection.
    List,
    /// Follows changes.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object.
    Patch,
    /// Takes an object away.
    Delete,
    /// Takes a collection away.
    DeleteCollection,
    /// A method that no resource serves.
    Other,
}

impl Verb {
    /// The name in rights and in discovery.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "",
        }
    }
}

/// A request for a resource, after authorization.
#[derive(Debug, Clone)]
pub struct Call {
    /// The row of its kind.
    pub kind: Arc<Kind>,
    /// What it is about.
    pub target: Target,
    /// Its query.
    pub query: Query,
    /// Who asks.
    pub user: User,
    /// The header `User-Agent`.
    pub agent: String,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The whole body.
    pub body: Bytes,
    /// What is shown of objects.
    pub shape: Shape,
    /// The server stops: watches end.
    pub stop: CancellationToken,
    /// The row of the version that is stored; none = a built-in kind, which has one form only.
    pub stored: Option<Arc<Kind>>,
    /// What the client is told besides the answer.
    pub warnings: Warnings,
}

/// Texts for the user, whatever the answer is.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a text, unless it was said.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&text) {
            said.push(text);
        }
    }

    /// Adds texts.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.add(text));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What answers requests for resources.
pub struct Engine {
    profile: Profile,
    table: ArcSwap<Table>,
    stored: ArcSwap<BTreeMap<(String, String), Arc<Kind>>>,
    cachers: Arc<Cachers>,
    /// Held while a service is given what no other may have.
    giving: tokio::sync::Mutex<()>,
    rbac: Arc<Rbac>,
    authenticator: Authenticator,
}

impl Engine {
    /// An engine over a store, with the built-in kinds.
    pub fn new(
        store: Arc<dyn Store>,
        profile: Profile,
        authenticator: Authenticator,
    ) -> Result<Arc<Self>, Status> {
        let rows = crate::kinds::builtin(profile);
        let table = rows
            .into_iter()
            .map(|kind| (address(&kind), kind))
            .collect();
        let engine = Self {
            profile,
            table: ArcSwap::from_pointee(table),
            stored: ArcSwap::default(),
            cachers: Cachers::new(store, Options::default()).map_err(broken)?,
            giving: tokio::sync::Mutex::default(),
            rbac: Arc::default(),
            authenticator,
        };
        engine.load_rights().map_err(broken)?;
        engine.load_definitions()?;
        Ok(Arc::new(engine))
    }

    /// Moves changes to watchers; runs as a named task until the store breaks.
    pub async fn run(self: Arc<Self>) -> StoreError {
        Arc::clone(&self.cachers).run().await
    }

    /// What kind of server this is.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Rights.
    #[must_use]
    pub fn rbac(&self) -> &Arc<Rbac> {
        &self.rbac
    }

    /// Credentials.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// The table as it is now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The row that a path is about.
    #[must_use]
    pub fn kind(&self, target: &Target) -> Option<Arc<Kind>> {
        self.row(&target.group, &target.version, &target.resource)
    }

    /// A row by group, version and plural.
    #[must_use]
    pub fn row(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.table.load().get(&key).cloned()
    }

    /// The row of the version of a custom kind that is stored.
    #[must_use]
    pub fn stored(&self, kind: &Kind) -> Option<Arc<Kind>> {
        if !kind.custom {
            return None;
        }
        let key = (kind.group.clone(), kind.plural.clone());
        self.stored.load().get(&key).cloned()
    }

    /// Some kind of this group and version is served.
    #[must_use]
    pub fn serves(&self, group: &str, version: &str) -> bool {
        let table = self.table.load();
        table.keys().any(|(g, v, _)| g == group && v == version)
    }

    /// Answers a request.
    pub async fn handle(self: Arc<Self>, verb: Verb, call: Call) -> Answer {
        let warnings = call.warnings.clone();
        if !call.kind.warning.is_empty() {
            warnings.add(call.kind.warning.clone());
        }
        let answered = self.answer(verb, call).await;
        let mut answer = answered.unwrap_or_else(Answer::from);
        answer.warnings.append(&mut warnings.take());
        answer
    }

    async fn answer(&self, verb: Verb, call: Call) -> Result<Answer, Status> {
        if let Some(answer) = self.special(verb, &call).await {
            return answer;
        }
        let part = call.target.subresource.as_str();
        match (verb, part) {
            (Verb::Get, "scale") => self.get_scale(&call),
            (Verb::Update | Verb::Patch, "scale") => self.write_scale(verb, &call).await,
            (Verb::Get, _) => self.get(&call),
            (Verb::List, _) => self.list(&call),
            (Verb::Watch, _) => self.watch(call),
            (Verb::Create, _) => self.create(&call).await,
            (Verb::Update, _) => self.update(&call).await,
            (Verb::Patch, _) => self.patch(&call).await,
            (Verb::Delete, _) => self.delete(&call).await,
            (Verb::DeleteCollection, _) => self.delete_collection(&call).await,
            (Verb::Other, _) => Err(Status::internal("a verb without a handler")),
        }
    }

    fn cacher(&self, kind: &Kind) -> Result<Arc<Cacher>, Status> {
        self.cachers.resource(&prefix(kind)).map_err(broken)
    }
}

fn address(kind: &Kind) -> (String, String, String) {
    (
        kind.group.clone(),
        kind.version.clone(),
        kind.plural.clone(),
    )
}

/// `/registry/<group or core>/<plural>/`.
fn prefix(kind: &Kind) -> String {
    let group = if kind.group.is_empty() {
        "core"
    } else {
        &kind.group
    };
    format!("/registry/{group}/{}/", kind.plural)
}

fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    let prefix = prefix(kind);
    if kind.namespaced {
        format!("{prefix}{namespace}/{name}")
    } else {
        format!("{prefix}{name}")
    }
}

/// What a client sees of trouble with the store.
fn broken(error: StoreError) -> Status {
    match error {
        StoreError::Compacted { asked, oldest } => Status::new(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        ),
        StoreError::Future { asked, newest } => {
            let text = format!("Timeout: Too large resource version: {asked}, current: {newest}");
            let mut status = Status::new(504, "Timeout", text);
            let details = status.details.get_or_insert_default();
            let why = "Too large resource version";
            let cause = crate::error::Cause::new("ResourceVersionTooLarge", "", why);
            details.causes.push(cause);
            details.retry_after_seconds = 1;
            status
        }
        StoreError::Broken(why) => Status::internal(why),
    }
}
