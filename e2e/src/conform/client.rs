//! Requests as a case writes them, with nothing added that it does not ask for.

use std::{path::Path, time::Duration};

use futures::StreamExt;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use kube::{
    Client, Config,
    client::Body,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::{Map, Value, json};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::ConformError;

/// The default field manager is its first part.
const USER_AGENT: &str = "conform/1.0";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of a watch that wait to be read; a case makes a few dozen at most.
const LINES_MAX: usize = 10_000;

/// A server, and the identities that cases use.
#[derive(Clone)]
pub struct Target {
    admin: Client,
    nobody: Client,
    user_token: Option<String>,
}

/// What a step asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a Map<String, Value>>,
    pub(super) headers: Option<&'a Map<String, Value>>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) user: Option<&'a str>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A running watch, or the answer that there is none.
pub(super) struct Watch {
    pub(super) answer: Answer,
    pub(super) lines: mpsc::Receiver<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Target {
    /// The server of the current context. The second user shows a token, or is impersonated.
    pub async fn from_kubeconfig(
        path: &Path,
        user_token: Option<&str>,
    ) -> Result<Self, ConformError> {
        let kubeconfig = Kubeconfig::read_from(path)?;
        let options = KubeConfigOptions::default();
        let admin = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Self::new(admin, user_token)
    }

    /// The server of a configuration whose user belongs to `system:masters`.
    pub fn new(mut admin: Config, user_token: Option<&str>) -> Result<Self, ConformError> {
        // "Try again" is an answer to be compared.
        admin.default_retry = false;
        let mut nobody = admin.clone();
        nobody.auth_info = AuthInfo::default();
        Ok(Self {
            admin: Client::try_from(admin)?,
            nobody: Client::try_from(nobody)?,
            user_token: user_token.map(str::to_owned),
        })
    }

    /// The client of an identity; its credential may be one of the headers.
    fn client(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> &Client {
        if headers.contains_key(AUTHORIZATION) || ask.user == Some("anonymous") {
            return &self.nobody;
        }
        match (ask.user, &self.user_token) {
            (None, _) => &self.admin,
            (Some(_), Some(token)) => {
                put(headers, "authorization", &format!("Bearer {token}"));
                &self.nobody
            }
            (Some(user), None) => {
                put(headers, "impersonate-user", user);
                &self.admin
            }
        }
    }

    async fn start(&self, ask: &Ask<'_>) -> Result<Response<Body>, String> {
        let mut headers = HeaderMap::new();
        put(&mut headers, "user-agent", USER_AGENT);
        put(&mut headers, "accept", "application/json");
        if ask.body.is_some() {
            put(&mut headers, "content-type", "application/json");
        }
        for (name, value) in ask.headers.into_iter().flatten() {
            let Ok(known) = HeaderName::try_from(name.as_str()) else {
                return Err(format!("{name:?} is no header"));
            };
            headers.remove(known);
            if let Some(value) = value.as_str() {
                put(&mut headers, name, value);
            }
        }
        let client = self.client(ask, &mut headers);
        let body = ask.body.clone().map_or_else(Body::empty, Body::from);
        let request = Request::builder()
            .method(ask.method)
            .uri(with_query(ask.path, ask.query))
            .body(body);
        let mut request = request.map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        let answer = timeout(REQUEST_TIMEOUT, client.send(request)).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        answer.map_err(|error| format!("{error:?}"))
    }

    /// Asks and reads the whole answer; a broken connection is status 0.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Answer {
        // The server may have closed a kept connection just when it was taken up again.
        let mut last = String::new();
        for _ in 0..2 {
            match self.start(ask).await {
                Ok(answer) => match whole(answer).await {
                    Ok(answer) => return answer,
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Answer {
            status: 0,
            headers: HeaderMap::new(),
            body: format!("connection failed: {last}").into_bytes(),
        }
    }

    /// Starts a watch; its lines come in the background.
    pub(super) async fn watch(&self, ask: &Ask<'_>) -> Watch {
        let (line_tx, lines) = mpsc::channel(LINES_MAX);
        let started = match self.start(ask).await {
            Ok(answer) if answer.status().as_u16() == 200 => Ok(answer),
            Ok(answer) => Err(whole(answer).await),
            Err(error) => Err(Err(error)),
        };
        match started {
            Ok(answer) => {
                let headers = answer.headers().clone();
                let reader = tokio::spawn(read_lines(answer, line_tx));
                let answer = Answer {
                    status: 200,
                    headers,
                    body: Vec::new(),
                };
                Watch {
                    answer,
                    lines,
                    reader: Some(reader),
                }
            }
            Err(refused) => Watch {
                answer: refused.unwrap_or_else(|error| Answer {
                    status: 0,
                    headers: HeaderMap::new(),
                    body: error.into_bytes(),
                }),
                lines,
                reader: None,
            },
        }
    }

    /// Sends JSON as the admin and does not mind the answer.
    pub(super) async fn quietly(&self, method: &str, path: &str, body: Option<&Value>) {
        let body = body.map(|body| body.to_string().into_bytes());
        let ask = Ask {
            method,
            path,
            body,
            ..Ask::default()
        };
        self.send(&ask).await;
    }
}

async fn whole(answer: Response<Body>) -> Result<Answer, String> {
    let (parts, body) = answer.into_parts();
    let body = timeout(REQUEST_TIMEOUT, body.collect()).await;
    let body = body.map_err(|_| "the answer does not end".to_owned())?;
    let body = body.map_err(|error| error.to_string())?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.to_bytes().to_vec(),
    })
}

async fn read_lines(answer: Response<Body>, line_tx: mpsc::Sender<Vec<u8>>) {
    let mut chunks = answer.into_body().into_data_stream();
    let mut rest = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if !line.trim_ascii().is_empty() && line_tx.send(line).await.is_err() {
                return;
            }
        }
    }
    if !rest.trim_ascii().is_empty() {
        let _ = line_tx.send(rest).await;
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let pair = (HeaderName::try_from(name), HeaderValue::from_str(value));
    if let (Ok(name), Ok(value)) = pair {
        headers.insert(name, value);
    }
}

impl Answer {
    /// JSON if it is any, text otherwise.
    pub(super) fn value(&self) -> Value {
        let kind = self.headers.get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if self.body.starts_with(b"k8s\0") {
            return json!("<protobuf>");
        }
        let looks = matches!(self.body.first(), Some(b'{' | b'['));
        let parsed = (kind.to_lowercase().contains("json") || looks)
            .then(|| serde_json::from_slice(&self.body).ok());
        let text = || json!(String::from_utf8_lossy(&self.body));
        parsed.flatten().unwrap_or_else(text)
    }

    /// The headers that are compared.
    pub(super) fn kept_headers(&self) -> Value {
        let mut kept = Map::new();
        for name in ["content-type", "warning", "retry-after", "allow"] {
            let all = self.headers.get_all(name).iter();
            let mut values: Vec<_> = all
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            if values.is_empty() {
                continue;
            }
            let value = if name == "warning" {
                values.sort();
                json!(values)
            } else {
                json!(values[0])
            };
            kept.insert(name.into(), value);
        }
        Value::Object(kept)
    }
}

/// Path and query as they go over the wire.
fn with_query(path: &str, query: Option<&Map<String, Value>>) -> String {
    let mut target = escape(path, b"/:%~!$&'()*+,;=@");
    let mut sign = '?';
    for (key, value) in query.into_iter().flatten() {
        let values = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            target.push(sign);
            target += &escape(key, b" ~").replace(' ', "+");
            target.push('=');
            target += &escape(&value, b" ~").replace(' ', "+");
            sign = '&';
        }
    }
    target
}

fn escape(text: &str, safe: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) || safe.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
