//! Creates, and reads of one object.

use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::definitions::is_definition;
use super::options::WriteOptions;
use super::pipeline::{Origin, answer};
use super::{Call, Engine, Warnings, meta, show};
use crate::auth::{MASTERS, User};
use crate::error::Status;
use crate::http::accept::Shape;
use crate::http::answer::Answer;
use crate::http::path::Target;
use crate::http::query::Query;
use crate::kinds::custom;

impl Engine {
    pub(super) async fn create(&self, call: &Call) -> Result<Answer, Status> {
        let options = WriteOptions::read(call, "CreateOptions")?;
        let object = self.decoded(call, &options)?;
        if is_definition(&call.kind) {
            call.warnings.extend(custom::warnings(&object));
        }
        self.check_definition(call, &object)?;
        let written = self.insert(call, &options, object, Origin::Plain).await?;
        answer(call, &written)
    }

    /// Makes an object in the server's own name, unless it is there.
    pub(crate) async fn ensure(&self, plural: &str, object: Value) -> Result<(), Status> {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = self.row(group, version, plural);
        let kind = kind.ok_or_else(|| Status::internal(format!("there is no kind of {plural}")))?;
        let target = Target {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: meta::text(&object, "namespace").to_owned(),
            resource: plural.to_owned(),
            name: meta::text(&object, "name").to_owned(),
            ..Target::default()
        };
        let call = Call {
            kind,
            target,
            query: Query::default(),
            user: User {
                name: "system:apiserver".to_owned(),
                groups: vec![MASTERS.to_owned()],
                ..User::default()
            },
            agent: "kube-apiserver".to_owned(),
            content_type: String::new(),
            body: Bytes::from(object.to_string()),
            shape: Shape::Object,
            stop: CancellationToken::new(),
            stored: None,
            warnings: Warnings::default(),
        };
        if self.live(&call)?.is_some() {
            return Ok(());
        }
        match self.create(&call).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }

    pub(super) fn get(&self, call: &Call) -> Result<Answer, Status> {
        if call.query.is_set("export") {
            let text = "the export parameter, deprecated since v1.14, is no longer supported";
            return Err(Status::bad_request(text));
        }
        let version = call.query.get("resourceVersion");
        if !version.is_empty() {
            let version = super::list::version(version).map_err(|why| Status::new(500, "", why))?;
            self.cacher(&call.kind)?
                .not_older(version)
                .map_err(super::broken)?;
        }
        let live = self.live(call)?.ok_or_else(|| missing(call))?;
        Ok(Answer::object(200, show::one(call, &live.value)?))
    }
}

/// 404 of the object that a call is about.
pub(super) fn missing(call: &Call) -> Status {
    Status::not_found(&call.kind.group, &call.kind.plural, &call.target.name)
}
