//! Lists: selectors, versions, pages.
//!
//! A page's token holds the version of the first page and the key after the last object, so that
//! all pages show one moment.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::show::{Form, ListMeta};
use super::{Call, Engine, broken, prefix};
use crate::cacher::{Cacher, List, Object};
use crate::error::{Cause, Status};
use crate::http::answer::Answer;
use crate::http::query::Query;
use crate::select::Selector;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
/// Objects that are looked at in one step while a selector fills a page.
const STEP: usize = 512;

/// Where a list reads.
struct Range {
    prefix: String,
    from: String,
    at: u64,
    limit: usize,
}

/// A page.
pub(super) struct Page {
    /// The selected objects.
    pub(super) objects: Vec<Arc<Object>>,
    /// Version and continuation.
    pub(super) meta: ListMeta,
}

impl Engine {
    pub(super) fn list(&self, call: &Call) -> Result<Answer, Status> {
        let form = Form::of(call)?;
        let page = self.page(call)?;
        let values: Vec<&Value> = page.objects.iter().map(|object| &*object.value).collect();
        Ok(Answer::object(200, form.list(&values, &page.meta)))
    }

    /// The objects that a call selects.
    pub(super) fn page(&self, call: &Call) -> Result<Page, Status> {
        let selector = selector(call)?;
        let cacher = self.cacher(&call.kind)?;
        let range = range(call, &cacher)?;
        let mut objects = Vec::new();
        let mut meta = ListMeta::default();
        let mut from = range.from.clone();
        loop {
            let wanted = match range.limit {
                0 => 0,
                limit if selector.is_empty() => limit,
                _ => STEP,
            };
            let list = List {
                prefix: &range.prefix,
                from: &from,
                at: if meta.revision == 0 {
                    range.at
                } else {
                    meta.revision
                },
                limit: wanted,
            };
            let listing = cacher.list(list).map_err(broken)?;
            meta.revision = if range.at == 0 && meta.revision == 0 {
                listing.revision
            } else {
                meta.revision.max(range.at)
            };
            let count = listing.objects.len();
            for (index, object) in listing.objects.into_iter().enumerate() {
                if !selector.matches(&object.value) {
                    from = format!("{}\0", object.key);
                    continue;
                }
                from = format!("{}\0", object.key);
                objects.push(object);
                let left = count - index - 1 + listing.remaining;
                if range.limit > 0 && objects.len() == range.limit && left > 0 {
                    meta.token = token(meta.revision, &from[range.prefix.len()..]);
                    meta.remaining = selector.is_empty().then_some(left);
                    return Ok(Page { objects, meta });
                }
            }
            if listing.remaining == 0 {
                return Ok(Page { objects, meta });
            }
        }
    }
}

/// The selectors of a call; a name in the path selects too.
pub(super) fn selector(call: &Call) -> Result<Selector, Status> {
    let query = &call.query;
    Selector::parse(
        &call.kind,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )
}

/// The part of a resource that a call is about.
pub(super) fn scope_prefix(call: &Call) -> String {
    let mut start = prefix(&call.kind);
    if call.kind.namespaced && !call.target.namespace.is_empty() {
        start.push_str(&call.target.namespace);
        start.push('/');
    }
    start
}

fn range(call: &Call, cacher: &Cacher) -> Result<Range, Status> {
    let query = &call.query;
    let prefix = scope_prefix(call);
    let limit = query.number("limit")?.unwrap_or_default();
    query.number("timeoutSeconds")?;
    check(query)?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let said = query.get("resourceVersion");
    let next = query.get("continue");
    if !next.is_empty() {
        if !matches!(said, "" | "0") {
            let text = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(text));
        }
        let (at, start) = read_token(next)?;
        let from = format!("{prefix}{start}");
        return Ok(Range {
            prefix,
            from,
            at,
            limit,
        });
    }
    let mut at = 0;
    if !said.is_empty() {
        let version = version(said)
            .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        cacher.not_older(version).map_err(broken)?;
        // A page of a version that was named shows that version, unless it may be newer.
        let exact = query.get("resourceVersionMatch") == "Exact";
        let legacy = query.get("resourceVersionMatch").is_empty() && limit > 0;
        if exact || legacy {
            at = version;
        }
    }
    Ok(Range {
        from: String::new(),
        prefix,
        at,
        limit,
    })
}

/// Refuses combinations that make no sense.
fn check(query: &Query) -> Result<(), Status> {
    let (said, matching) = (
        query.get("resourceVersion"),
        query.get("resourceVersionMatch"),
    );
    let forbidden = |field: &str, why: String| {
        vec![Cause::new(
            "FieldValueForbidden",
            field,
            format!("Forbidden: {why}"),
        )]
    };
    let field = "resourceVersionMatch";
    let causes = match (matching, said) {
        ("", _) => Vec::new(),
        _ if !query.get("continue").is_empty() => forbidden(
            field,
            format!("{field} is forbidden when continue is provided"),
        ),
        (_, "") => forbidden(
            field,
            format!("{field} is forbidden unless resourceVersion is provided"),
        ),
        ("Exact", "0") => forbidden(
            field,
            format!("{field} \"exact\" is forbidden for resourceVersion \"0\""),
        ),
        ("Exact" | "NotOlderThan", _) => Vec::new(),
        (other, _) => {
            let text = format!(
                "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
            );
            vec![Cause::new("FieldValueNotSupported", field, text)]
        }
    };
    let mut causes = causes;
    if !query.get("sendInitialEvents").is_empty() {
        let why = "sendInitialEvents is forbidden for list".to_owned();
        causes.append(&mut forbidden("sendInitialEvents", why));
    }
    refuse(causes)
}

/// 422 about list options.
pub(super) fn refuse(causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("meta.k8s.io", "ListOptions", "", causes))
}

/// Reads a resource version; the error is a text.
pub(super) fn version(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        )
    })
}

fn token(revision: u64, start: &str) -> String {
    let token = json!({"v": TOKEN_VERSION, "rv": revision, "start": start});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn read_token(text: &str) -> Result<(u64, String), Status> {
    let bad = |why: &str| {
        Status::bad_request(format!(
            "invalid continue token: continue key is not valid: {why}"
        ))
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| bad(&error.to_string()))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
    if token["v"] != TOKEN_VERSION {
        return Err(bad("incorrect encoded version"));
    }
    let revision = token["rv"].as_u64().filter(|revision| *revision > 0);
    let revision = revision.ok_or_else(|| bad("incorrect encoded start resourceVersion"))?;
    let start = token["start"].as_str().unwrap_or_default();
    let leaves = start.split('/').any(|part| part == ".." || part == ".");
    if start.is_empty() || leaves {
        return Err(bad(start));
    }
    Ok((revision, start.to_owned()))
}
