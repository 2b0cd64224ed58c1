//! Watches: what is there, then what changes, as frames of JSON.
//!
//! It decides where a watch starts, which events a selector lets through and as what, and when a
//! bookmark comes. Encodings are shared between watchers of one form.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::list::{refuse, scope_prefix, selector, version};
use super::show::Form;
use super::{Call, Engine, broken, key};
use crate::cacher::{Event, EventType, Scope, Watch};
use crate::error::{Cause, Status};
use crate::http::answer::Answer;
use crate::select::Selector;
use crate::store::StoreError;

/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A last bookmark comes this long before a watch ends.
const BEFORE_END: Duration = Duration::from_secs(2);
/// Watches without a time of their own end between this and twice of it.
const LIFE: Duration = Duration::from_secs(1_800);

/// How a watch begins.
enum Start {
    /// With everything that is there.
    Everything {
        /// A bookmark follows it at once.
        marked: bool,
    },
    /// After this version.
    After(u64),
    /// With what comes from now on.
    Now,
}

/// One running watch.
struct Running {
    watch: Watch,
    frames: VecDeque<Bytes>,
    form: Form,
    selector: Selector,
    names: Names,
    told_columns: bool,
    bookmarks: Option<Instant>,
    ends_initial: bool,
    deadline: Instant,
    stop: CancellationToken,
    failed: bool,
}

/// Names of the encodings that this watch shares with others.
struct Names {
    added: Arc<str>,
    modified: Arc<str>,
    deleted: Arc<str>,
    left: Arc<str>,
}

impl Engine {
    pub(super) fn watch(&self, call: Call) -> Result<Answer, Status> {
        let form = Form::of(&call)?;
        let selector = selector(&call)?;
        let start = start(&call)?;
        let seconds = call.query.number("timeoutSeconds")?.unwrap_or_default();
        let life = match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            _ => LIFE + LIFE.mul_f64(f64::from(uuid::Uuid::new_v4().into_bytes()[0]) / 255.0),
        };
        let deadline = Instant::now() + life;
        let cacher = self.cacher(&call.kind)?;
        let scope = scope(&call, &selector);
        let bookmarks = call.query.is_set("allowWatchBookmarks");
        let (first, watch, marked) = match start {
            Start::Now => {
                let (_, watch) = cacher.list_and_watch(scope).map_err(broken)?;
                (Vec::new(), watch, false)
            }
            Start::After(revision) => match cacher.watch(revision, scope) {
                Ok(watch) => (Vec::new(), watch, false),
                Err(error @ StoreError::Compacted { .. }) => return Ok(expired(error)),
                Err(error) => return Err(broken(error)),
            },
            Start::Everything { marked } => {
                let (listing, watch) = cacher.list_and_watch(scope).map_err(broken)?;
                (listing.objects, watch, marked)
            }
        };
        let mut running = Running {
            watch,
            frames: VecDeque::new(),
            names: Names::of(&form),
            told_columns: false,
            ends_initial: matches!(start, Start::Everything { .. }),
            bookmarks: bookmarks.then(|| next_bookmark(deadline)),
            form,
            selector,
            deadline,
            stop: call.stop,
            failed: false,
        };
        for object in first {
            if running.selector.matches(&object.value) {
                let frame = running.frame("ADDED", &object.value);
                running.frames.push_back(frame);
            }
        }
        if marked && bookmarks {
            running.bookmark();
        }
        let frames = futures::stream::unfold(running, |mut running| async move {
            let frame = running.next().await?;
            Some((frame, running))
        });
        Ok(Answer::frames(frames.boxed()))
    }
}

impl Running {
    /// The next frame; none = the watch ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.failed {
                return None;
            }
            let bookmark = self.bookmarks.unwrap_or(self.deadline);
            // Cancel-safe: events stay in the queue until they are given, timers hold no state.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.deadline) => return None,
                event = self.watch.next() => match event {
                    Some(event) => {
                        if let Some(frame) = self.event(&event) {
                            return Some(frame);
                        }
                    }
                    None => return self.cut(),
                },
                () = tokio::time::sleep_until(bookmark) => self.bookmark(),
            }
        }
    }

    /// Tells a client that was too slow to start anew.
    fn cut(&mut self) -> Option<Bytes> {
        self.failed = true;
        let text = "too old resource version: the watch fell behind";
        let status = Status::new(410, "Expired", text);
        Some(frame("ERROR", &status.to_json()))
    }

    fn bookmark(&mut self) {
        let revision = self.watch.progress();
        let shown = self.form.bookmark(revision, self.ends_initial);
        self.ends_initial = false;
        let shown = self.columns_once(shown);
        self.frames.push_back(frame("BOOKMARK", &shown));
        self.bookmarks = self.bookmarks.map(|_| next_bookmark(self.deadline));
    }

    /// What this watcher hears of an event; none = nothing.
    fn event(&mut self, event: &Event) -> Option<Bytes> {
        let selects = |object: &Value| self.selector.matches(object);
        let before = event
            .previous
            .as_ref()
            .is_some_and(|old| selects(&old.value));
        let after = event.ty != EventType::Deleted && selects(&event.object.value);
        let (ty, name) = match (before, after) {
            (false, true) => ("ADDED", &self.names.added),
            (true, true) => ("MODIFIED", &self.names.modified),
            (true, false) if event.ty == EventType::Deleted => ("DELETED", &self.names.deleted),
            (true, false) => ("DELETED", &self.names.left),
            (false, false) => return None,
        };
        let name = Arc::clone(name);
        let object = if ty == "DELETED" && event.ty != EventType::Deleted {
            // It left the selection: the old state, at the new version.
            let old = event.previous.as_ref()?;
            let mut object = Value::clone(&old.value);
            object["metadata"]["resourceVersion"] = json!(event.revision.to_string());
            Arc::new(object)
        } else {
            Arc::clone(&event.object.value)
        };
        if self.form.is_table() && !self.told_columns {
            return Some(self.frame(ty, &object));
        }
        let form = &self.form;
        Some(event.encoded(&name, || {
            let shown = form.one(&object);
            let shown = if form.is_table() {
                Form::without_columns(shown)
            } else {
                shown
            };
            frame(ty, &shown)
        }))
    }

    fn frame(&mut self, ty: &str, object: &Value) -> Bytes {
        let shown = self.form.one(object);
        let shown = self.columns_once(shown);
        frame(ty, &shown)
    }

    fn columns_once(&mut self, shown: Value) -> Value {
        if self.form.is_table() && std::mem::replace(&mut self.told_columns, true) {
            return Form::without_columns(shown);
        }
        shown
    }
}

impl Names {
    fn of(form: &Form) -> Self {
        let form = form.name();
        let name = |ty: &str| Arc::from(format!("{form} {ty}"));
        Self {
            added: name("ADDED"),
            modified: name("MODIFIED"),
            deleted: name("DELETED"),
            left: name("LEFT"),
        }
    }
}

fn frame(ty: &str, object: &Value) -> Bytes {
    let mut text = format!("{{\"type\":\"{ty}\",\"object\":{object}}}");
    text.push('\n');
    Bytes::from(text)
}

fn expired(error: StoreError) -> Answer {
    let frame = frame("ERROR", &broken(error).to_json());
    Answer::frames(futures::stream::once(async move { frame }).boxed())
}

fn next_bookmark(deadline: Instant) -> Instant {
    let soon = Instant::now() + BOOKMARK_EVERY;
    let last = deadline.checked_sub(BEFORE_END).unwrap_or(deadline);
    if last > Instant::now() {
        soon.min(last)
    } else {
        soon
    }
}

fn scope(call: &Call, selector: &Selector) -> Scope {
    let name = if call.target.name.is_empty() {
        selector.fields.name().unwrap_or_default()
    } else {
        &call.target.name
    };
    let kind = &call.kind;
    let namespace = &call.target.namespace;
    if !name.is_empty() && kind.namespaced != namespace.is_empty() {
        return Scope::Only(Arc::from(key(kind, namespace, name)));
    }
    if kind.namespaced && !namespace.is_empty() {
        return Scope::Under(Arc::from(scope_prefix(call)));
    }
    Scope::All
}

fn start(call: &Call) -> Result<Start, Status> {
    let query = &call.query;
    let said = query.get("resourceVersion");
    let revision = if said.is_empty() {
        0
    } else {
        version(said).map_err(|why| Status::new(500, "", why))?
    };
    let matching = query.get("resourceVersionMatch");
    let initial = query.get("sendInitialEvents");
    let field = "resourceVersionMatch";
    let forbidden = |why: &str| {
        let text = format!("Forbidden: {why}");
        refuse(vec![Cause::new("FieldValueForbidden", field, text)])
    };
    if initial.is_empty() {
        if !matching.is_empty() {
            forbidden(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )?;
        }
        return Ok(match revision {
            0 => Start::Everything { marked: false },
            revision => Start::After(revision),
        });
    }
    if matching != "NotOlderThan" {
        forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")?;
    }
    Ok(match (query.is_set("sendInitialEvents"), revision) {
        (true, _) => Start::Everything { marked: true },
        (false, 0) => Start::Now,
        (false, revision) => Start::After(revision),
    })
}
