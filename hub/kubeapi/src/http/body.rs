//! Bodies of requests: which form they have, and how they become JSON values.
//!
//! It decides what is accepted (JSON, YAML, protobuf, the four patches), and answers 415, 413 and
//! 400 with the words that clients know. What a body means is decided elsewhere.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

use crate::codec::protobuf;
use crate::error::Status;
use crate::schema::decode;

/// The form of a whole object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// JSON, also when nothing is said.
    Json,
    /// YAML.
    Yaml,
    /// The protobuf envelope.
    Protobuf,
}

/// The kind of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, by merge keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Media {
    /// Reads a `Content-Type`.
    pub fn of(content_type: &str) -> Result<Self, Status> {
        match &*essence(content_type) {
            "" | "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            _ => Err(unsupported(
                "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )),
        }
    }
}

impl PatchKind {
    /// Reads the `Content-Type` of a PATCH.
    pub fn of(content_type: &str, custom: bool) -> Result<Self, Status> {
        match &*essence(content_type) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ if custom => Err(unsupported(
                "application/json-patch+json, application/merge-patch+json, \
                 application/apply-patch+yaml",
            )),
            _ => {
                let mut status = unsupported(
                    "application/json-patch+json, application/merge-patch+json, \
                     application/strategic-merge-patch+json, application/apply-patch+yaml",
                );
                status.details = Some(Default::default());
                Err(status)
            }
        }
    }
}

fn essence(content_type: &str) -> String {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn unsupported(list: &str) -> Status {
    let text = "the body of the request was in an unknown format - accepted media types include";
    Status::new(415, "UnsupportedMediaType", format!("{text}: {list}"))
}

/// Takes in a whole body, up to a limit.
pub async fn collect<B>(body: B, bytes_max: usize) -> Result<Bytes, Status>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {bytes_max}"),
        )),
        Err(error) => Err(Status::bad_request(format!("the body broke off: {error}"))),
    }
}

/// Makes a value of a body. `what` = the kind for messages; `found` takes double keys.
pub fn read(
    media: Media,
    bytes: &[u8],
    (what, custom): (&str, bool),
    found: &mut Vec<String>,
) -> Result<Value, Status> {
    let value = match media {
        Media::Json => decode::parse(bytes, custom, found),
        Media::Yaml => yaml(bytes, found),
        Media::Protobuf => protobuf::decode(bytes),
    };
    value.map_err(|status| {
        let why = status.message;
        let lead = format!("the object provided is unrecognized (must be of type {what})");
        if why.starts_with("the object provided is unrecognized") {
            Status::bad_request(why)
        } else {
            Status::bad_request(format!("{lead}: {why} ({})", excerpt(bytes)))
        }
    })
}

/// The first document of a YAML text; an empty one is an empty object.
pub fn yaml(bytes: &[u8], found: &mut Vec<String>) -> Result<Value, Status> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Status::bad_request("yaml: the text is not UTF-8"))?;
    let parse = |policy| {
        let options = serde_saphyr::options! { duplicate_keys: policy };
        serde_saphyr::from_multiple_with_options::<Value>(text, options)
    };
    let documents = match parse(DuplicateKeyPolicy::Error) {
        Ok(documents) => documents,
        Err(first) => {
            let documents = parse(DuplicateKeyPolicy::LastWins)
                .map_err(|error| Status::bad_request(format!("yaml: {error}")))?;
            found.push(first.to_string());
            documents
        }
    };
    let first = documents.into_iter().next().unwrap_or_default();
    Ok(match first {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value,
    })
}

fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(30)];
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > shown.len() {
        text.push_str(" ...");
    }
    text
}
