//! Secret. The member fills the token of a service account; nothing else is its business.

use serde_json::Value;

use crate::interpret::read::{self, Read};
use crate::interpret::{Interpreter, retention};
use crate::model::manifest;

const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

pub(crate) struct Secret;

impl Interpreter for Secret {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("v1", "Secret")]
    }

    fn retain(&self, desired: &mut Value, observed: &Value) -> Read<()> {
        if is_token(desired) && read::text_map(observed, &["data"])?.is_some() {
            retention::copy(desired, observed, &["data"])?;
        }
        Ok(())
    }

    fn leave_out(&self, desired: &mut Value, observed: &Value) {
        if is_token(desired) {
            retention::leave_out(desired, observed, &["data"]);
        }
    }
}

fn is_token(desired: &Value) -> bool {
    manifest::text(desired, &["type"]) == SERVICE_ACCOUNT_TOKEN
}
