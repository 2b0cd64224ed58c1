//! Who somebody is: client certificates, bearer tokens, or nobody.
//!
//! A certificate counts only after TLS has checked it against the client CA; this file reads the
//! name out of it. A bad token is refused wherever it is sent, since a client that shows a
//! credential wants to be that user, not nobody.

use std::{collections::BTreeMap, sync::Arc};

use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHENTICATED, UNAUTHENTICATED, User, unauthorized};
use crate::error::Status;

/// Where the fingerprint of a client certificate stands among a user's extras.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Something that knows bearer tokens.
pub trait Tokens: Send + Sync {
    /// Whose token this is, without the group of all authenticated users.
    fn user(&self, token: &str) -> Option<User>;
}

/// All ways to say who one is.
#[derive(Clone, Default)]
pub struct Authenticator {
    tokens: Vec<Arc<dyn Tokens>>,
}

impl Authenticator {
    /// Knows these tokens, besides client certificates.
    #[must_use]
    pub fn new(tokens: Vec<Arc<dyn Tokens>>) -> Self {
        Self { tokens }
    }

    /// Who this is. `certificate` = the DER of the peer's certificate that TLS has verified;
    /// `authorization` = the header. Neither = anonymous.
    pub fn authenticate(
        &self,
        certificate: Option<&[u8]>,
        authorization: Option<&str>,
    ) -> Result<User, Status> {
        if let Some(user) = certificate.and_then(certificate_user) {
            return Ok(authenticated(user));
        }
        match authorization.and_then(bearer) {
            Some(token) => self.token_user(token).ok_or_else(unauthorized),
            None => Ok(User::anonymous()),
        }
    }

    /// Whose token this is.
    #[must_use]
    pub fn token_user(&self, token: &str) -> Option<User> {
        self.tokens
            .iter()
            .find_map(|tokens| tokens.user(token))
            .map(authenticated)
    }
}

/// The token of an `Authorization` header; none = the header is of another kind.
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let mut words = authorization.trim().split(' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The user that a client certificate names: common name, and organisations as groups.
#[must_use]
pub fn certificate_user(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let groups = subject
        .iter_organization()
        .filter_map(|one| one.as_str().ok().map(str::to_owned))
        .collect();
    let fingerprint = format!("X509SHA256={}", hex(digest(&SHA256, der).as_ref()));
    Some(User {
        name: name.to_owned(),
        groups,
        uid: String::new(),
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![fingerprint])]),
    })
}

fn authenticated(mut user: User) -> User {
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.into());
    }
    user
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token file: lines of `token,user,uid[,"group,group"]`.
///
/// Tokens are kept and found by their SHA-256 digest. So how long a look-up takes says nothing
/// about the tokens, and none of them stands in memory in the clear.
#[derive(Debug, Clone, Default)]
pub struct TokenFile {
    users: BTreeMap<[u8; 32], User>,
}

/// Why a token file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    /// A line lacks a column.
    #[error("line {line} of the token file has {columns} columns, it needs token, user and uid")]
    Columns {
        /// Line, from 1.
        line: usize,
        /// Columns that are there.
        columns: usize,
    },
    /// A line opens a quote and does not close it.
    #[error("line {line} of the token file has a quote without an end")]
    Quote {
        /// Line, from 1.
        line: usize,
    },
    /// Two lines have one token.
    #[error("line {line} of the token file repeats a token")]
    Repeated {
        /// Line, from 1.
        line: usize,
    },
}

impl TokenFile {
    /// Reads the text of a token file.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut users = BTreeMap::new();
        for (index, row) in text.lines().enumerate() {
            let line = index + 1;
            if row.trim().is_empty() {
                continue;
            }
            let columns = columns(row).ok_or(TokenFileError::Quote { line })?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                let columns = columns.len();
                return Err(TokenFileError::Columns { line, columns });
            };
            if token.is_empty() {
                continue;
            }
            let groups = rest.first().map_or(Vec::new(), |list| {
                let names = list.split(',').map(str::trim);
                names
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect()
            });
            let user = User {
                name: name.clone(),
                groups,
                uid: uid.clone(),
                extra: BTreeMap::new(),
            };
            if users.insert(key(token), user).is_some() {
                return Err(TokenFileError::Repeated { line });
            }
        }
        Ok(Self { users })
    }

    /// Knows one more token.
    pub fn insert(&mut self, token: &str, user: User) {
        self.users.insert(key(token), user);
    }
}

impl Tokens for TokenFile {
    fn user(&self, token: &str) -> Option<User> {
        self.users.get(&key(token)).cloned()
    }
}

fn key(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

/// The columns of one line of comma-separated values; none = a quote stays open.
fn columns(row: &str) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    let mut rest = row;
    loop {
        let rest_quoted = rest.trim_start().strip_prefix('"');
        let (column, after) = match rest_quoted {
            Some(quoted) => quoted_column(quoted)?,
            None => match rest.split_once(',') {
                Some((column, after)) => (column.trim().to_owned(), Some(after)),
                None => (rest.trim().to_owned(), None),
            },
        };
        columns.push(column);
        match after {
            Some(after) => rest = after,
            None => return Some(columns),
        }
    }
}

/// What stands up to the closing quote, and what follows the next comma.
fn quoted_column(text: &str) -> Option<(String, Option<&str>)> {
    let mut column = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        column.push_str(before);
        if let Some(more) = after.strip_prefix('"') {
            column.push('"');
            rest = more;
        } else {
            return Some((column, after.split_once(',').map(|(_, next)| next)));
        }
    }
}
