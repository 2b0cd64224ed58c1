//! `flotilla token create NAME`: lets one cluster join, once, within its life.
//!
//! The secret is made here and never leaves this machine but in the join string: the front door stores
//! its hash only.

use clap::{Args, Subcommand};
use flotilla_proto::join::JoinString;
use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::door::{CONFIG_MAP, Door, JOIN_TOKEN};
use crate::error::CliError;
use crate::output::{Format, age, or_none, print, table};

/// Where the hub says how agents reach it.
const HUB_NAMESPACE: &str = "flotilla-system";
const HUB_INFO: &str = "flotilla-hub";

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a join string for one cluster; printed once, on standard output
    Create(Create),
    /// List tokens; secrets cannot be shown again
    List(List),
    /// Delete a token that was not used yet
    Delete(Delete),
}

/// Arguments of `token create`.
#[derive(Args, Debug)]
pub struct Create {
    /// Name the cluster will have: a DNS label of at most 48 characters
    name: String,
    /// Label of the cluster; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Cloud provider of the cluster
    #[arg(long, default_value = "")]
    provider: String,
    /// Region of the cluster
    #[arg(long, default_value = "")]
    region: String,
    /// Zone of the cluster; may be given several times
    #[arg(long = "zone")]
    zones: Vec<String>,
    /// What the agent may do in the member: workloads, or platform (namespaces, CRDs, RBAC too)
    #[arg(long, default_value = "workloads", value_parser = ["workloads", "platform"])]
    profile: String,
    /// Life of the token, in minutes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=1440))]
    minutes: i64,
    /// Address agents dial [default: what the hub says]
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,
}

/// Arguments of `token list`.
#[derive(Args, Debug)]
pub struct List {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Arguments of `token delete`.
#[derive(Args, Debug)]
pub struct Delete {
    /// Name of the token, as `token list` shows it
    name: String,
}

pub(crate) async fn run(door: &Door, token: &Token) -> Result<String, CliError> {
    match token {
        Token::Create(args) => create(door, args).await,
        Token::List(args) => list(door, args).await,
        Token::Delete(args) => {
            door.delete(JOIN_TOKEN, &args.name).await?;
            Ok(format!("token {} is deleted\n", args.name))
        }
    }
}

async fn create(door: &Door, args: &Create) -> Result<String, CliError> {
    let labels = parse_labels(&args.labels)?;
    let info = hub_info(door).await?;
    let mut secret = [0; 32];
    let mut suffix = [0; 4];
    let random = SystemRandom::new();
    let made = random
        .fill(&mut secret)
        .and_then(|()| random.fill(&mut suffix));
    made.map_err(|_| CliError::State("this machine gives no random numbers".to_owned()))?;
    let token = format!("{}-{}", args.name, hex(&suffix));
    let expires = Timestamp::now() + SignedDuration::from_mins(args.minutes);
    let object = json!({
        "apiVersion": "fleet.flotilla.dev/v1alpha1",
        "kind": "JoinToken",
        "metadata": {"name": token},
        "spec": {
            "clusterName": args.name,
            "secretHash": hex(ring::digest::digest(&ring::digest::SHA256, &secret).as_ref()),
            "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "labels": labels,
            "provider": args.provider,
            "region": args.region,
            "zones": args.zones,
            "profile": args.profile,
        },
    });
    door.create(JOIN_TOKEN, object).await?;
    let join = JoinString {
        hub: args.hub.clone().unwrap_or(info.address),
        server_name: info.server_name,
        root_spki_sha256: info.pins,
        token,
        secret,
    };
    Ok(format!("{join}\n"))
}

/// How agents reach the hub, as it says itself.
struct HubInfo {
    address: String,
    server_name: String,
    pins: Vec<String>,
}

async fn hub_info(door: &Door) -> Result<HubInfo, CliError> {
    let found = door.get(CONFIG_MAP, HUB_NAMESPACE, HUB_INFO).await?;
    let found = found.ok_or_else(|| CliError::NotFound {
        what: format!("ConfigMap {HUB_NAMESPACE}/{HUB_INFO}"),
        hint: "the hub writes it when it starts: is one running at this front door?".to_owned(),
    })?;
    let field = |name: &str| -> Result<String, CliError> {
        let value = found["data"][name].as_str();
        value.map(str::to_owned).ok_or_else(|| {
            CliError::State(format!(
                "ConfigMap {HUB_NAMESPACE}/{HUB_INFO} has no field {name}"
            ))
        })
    };
    Ok(HubInfo {
        address: field("address")?,
        server_name: field("serverName")?,
        pins: field("pins")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    })
}

fn parse_labels(labels: &[String]) -> Result<Value, CliError> {
    let mut map = serde_json::Map::new();
    for label in labels {
        let (key, value) = label.split_once('=').ok_or_else(|| CliError::Input {
            field: "--label",
            message: format!("{label:?} is not KEY=VALUE"),
        })?;
        map.insert(key.to_owned(), value.into());
    }
    Ok(map.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

async fn list(door: &Door, args: &List) -> Result<String, CliError> {
    let tokens = door.list(JOIN_TOKEN, "").await?;
    print(args.output, &tokens, || {
        let rows: Vec<_> = tokens.iter().map(row).collect();
        table(&["NAME", "CLUSTER", "STATE", "EXPIRES", "AGE"], &rows)
    })
}

fn row(token: &Value) -> Vec<String> {
    let text = |path: &str| token.pointer(path).and_then(Value::as_str).unwrap_or("");
    let expires = text("/spec/expiresAt");
    let over = expires
        .parse::<Timestamp>()
        .is_ok_and(|t| t < Timestamp::now());
    let state = if !text("/status/usedBy").is_empty() {
        "Used"
    } else if over {
        "Expired"
    } else {
        "Waiting"
    };
    vec![
        text("/metadata/name").to_owned(),
        text("/spec/clusterName").to_owned(),
        state.to_owned(),
        or_none(expires),
        age(text("/metadata/creationTimestamp")),
    ]
}
