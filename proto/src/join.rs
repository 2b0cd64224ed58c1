//! The join string: what one cluster's agent needs to find the hub, trust it, and be let in once.
//!
//! One line, `flotilla1.` and base64url JSON, to be given by file, standard input or environment. It
//! holds a secret, so its debug form masks it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "flotilla1.";

/// What an agent needs to join.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinString {
    /// Where to dial, `host:port`.
    pub hub: String,
    /// Name in the hub's certificate.
    pub server_name: String,
    /// SHA-256 of the public keys of the roots to trust, lower-case hex.
    pub root_spki_sha256: Vec<String>,
    /// Name of the JoinToken object.
    pub token: String,
    /// The secret whose hash the token holds.
    pub secret: [u8; 32],
}

/// A text that is no join string.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinStringError {
    /// Something else altogether.
    #[error("a join string begins with {PREFIX}; `flotilla token create NAME` prints one")]
    Prefix,
    /// Cut or changed on the way.
    #[error("the join string is damaged; copy all of it, it is one line")]
    Damaged,
    /// A field that cannot be right.
    #[error("the join string's {0} is not valid")]
    Field(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    hub: String,
    name: String,
    pins: Vec<String>,
    token: String,
    secret: String,
}

impl fmt::Display for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire {
            hub: self.hub.clone(),
            name: self.server_name.clone(),
            pins: self.root_spki_sha256.clone(),
            token: self.token.clone(),
            secret: URL_SAFE_NO_PAD.encode(self.secret),
        };
        let json = serde_json::to_vec(&wire).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl fmt::Debug for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinString")
            .field("hub", &self.hub)
            .field("server_name", &self.server_name)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinString {
    type Err = JoinStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(JoinStringError::Prefix)?;
        let json = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| JoinStringError::Damaged)?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| JoinStringError::Damaged)?;
        let secret = URL_SAFE_NO_PAD.decode(&wire.secret).ok();
        let secret = secret
            .and_then(|s| <[u8; 32]>::try_from(s).ok())
            .ok_or(JoinStringError::Field("secret"))?;
        let pin_is_good = |p: &String| p.len() == 64 && p.bytes().all(|b| b.is_ascii_hexdigit());
        if wire.pins.is_empty() || !wire.pins.iter().all(pin_is_good) {
            return Err(JoinStringError::Field("pins"));
        }
        if wire
            .hub
            .rsplit_once(':')
            .is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            return Err(JoinStringError::Field("hub address"));
        }
        Ok(Self {
            hub: wire.hub,
            server_name: wire.name,
            root_spki_sha256: wire.pins,
            token: wire.token,
            secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_join() -> JoinString {
        JoinString {
            hub: "hub.example:8443".to_owned(),
            server_name: "hub.flotilla.internal".to_owned(),
            root_spki_sha256: vec!["ab".repeat(32)],
            token: "edge-1a2b".to_owned(),
            secret: [7; 32],
        }
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let text = mk_join().to_string();
        assert!(!text.contains(char::is_whitespace));
        assert_eq!(format!(" {text}\n").parse(), Ok(mk_join()));
    }

    #[test]
    fn damage_is_named() {
        let parse = |t: &str| t.parse::<JoinString>().unwrap_err();
        assert_eq!(parse("hello"), JoinStringError::Prefix);
        let text = mk_join().to_string();
        assert_eq!(parse(&text[..text.len() - 5]), JoinStringError::Damaged);
        let other = JoinString {
            hub: "nowhere".to_owned(),
            ..mk_join()
        };
        assert_eq!(
            parse(&other.to_string()),
            JoinStringError::Field("hub address")
        );
    }

    #[test]
    fn its_debug_form_holds_no_secret() {
        let text = format!("{:?}", mk_join());
        assert!(!text.contains(&URL_SAFE_NO_PAD.encode([7; 32])) && !text.contains("7, 7"));
    }
}
