//! Answers on their way out: status, headers, warnings, and a body that is whole or a stream.

use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WARNING};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::accept::{Accept, Format};
use crate::error::Status;

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is sent back.
pub struct Answer {
    /// HTTP code.
    pub code: u16,
    /// Further headers.
    pub headers: Vec<(HeaderName, String)>,
    /// Texts for the user, each in a header of its own.
    pub warnings: Vec<String>,
    /// The body.
    pub payload: Payload,
}

/// The body of an answer.
pub enum Payload {
    /// An object, in the negotiated text form.
    Object(Value),
    /// Bytes of a content type.
    Bytes(String, Bytes),
    /// A stream of JSON frames.
    Frames(BoxStream<'static, Bytes>),
}

impl Answer {
    /// An object.
    #[must_use]
    pub fn object(code: u16, object: Value) -> Self {
        Self::of(code, Payload::Object(object))
    }

    /// Plain text.
    #[must_use]
    pub fn text(code: u16, text: impl Into<Bytes>) -> Self {
        let content_type = "text/plain; charset=utf-8".to_owned();
        Self::of(code, Payload::Bytes(content_type, text.into()))
    }

    /// A body of a content type.
    #[must_use]
    pub fn bytes(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self::of(200, Payload::Bytes(content_type.to_owned(), bytes.into()))
    }

    /// A stream of frames.
    #[must_use]
    pub fn frames(frames: BoxStream<'static, Bytes>) -> Self {
        Self::of(200, Payload::Frames(frames))
    }

    /// An answer without headers of its own.
    #[must_use]
    pub fn of(code: u16, payload: Payload) -> Self {
        Self {
            code,
            headers: Vec::new(),
            warnings: Vec::new(),
            payload,
        }
    }

    /// The response for a client that accepts this.
    #[must_use]
    pub fn into_response(self, accept: Accept) -> Response<Body> {
        let mut response = match self.payload {
            Payload::Object(object) => {
                let (content_type, bytes) = encode(&object, accept);
                with_type(content_type, whole(bytes))
            }
            Payload::Bytes(content_type, bytes) => with_type(&content_type, whole(bytes)),
            Payload::Frames(frames) => {
                let frames = frames.map(|bytes| Ok(Frame::data(bytes)));
                with_type("application/json", StreamBody::new(frames).boxed_unsync())
            }
        };
        *response.status_mut() =
            StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, text) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        for warning in &self.warnings {
            let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
                headers.append(WARNING, value);
            }
        }
        response
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        let seconds = status.details.as_ref().map(|one| one.retry_after_seconds);
        let mut answer = Self::object(status.code, status.to_json());
        if let Some(seconds @ 1..) = seconds {
            answer.headers.push((RETRY_AFTER, seconds.to_string()));
        }
        answer
    }
}

fn with_type(content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    if let Ok(value) = HeaderValue::from_str(content_type)
        && !content_type.is_empty()
    {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn encode(object: &Value, accept: Accept) -> (&'static str, Bytes) {
    let yaml = match accept.format {
        Format::Yaml => serde_saphyr::to_string(object).ok(),
        Format::Json => None,
    };
    if let Some(text) = yaml {
        return ("application/yaml", text.into());
    }
    let mut text = if accept.pretty {
        format!("{object:#}")
    } else {
        object.to_string()
    };
    text.push('\n');
    ("application/json", text.into())
}
