//! Leaves that live for less than a minute: renewed while the fleet works, and got anew by the identity
//! key after an absence that outlived them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flotilla_agent::session::link::now_unix;
use serde_json::Value;

use super::common::{
    CLUSTER, CONFIG_MAP, IS_THERE, MEMBERS, Played, arrives, condition, config_map, holds,
    place_config_map,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Needs, Scenario, Stage, expect};
use crate::world::{Kind, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[Scenario {
    name: "leaf-renewed-and-recovered",
    needs: Needs::OwnHub(&["--leaf-seconds=40"]),
    run: renewal,
}];

const SECRET: Kind<'static> = ("v1", "Secret");
/// Two renewals at half of 40 s, and the agents' hourly look is no part of it.
const RENEWED_MAX: Duration = Duration::from_secs(75);
/// A whole life and a little.
const EXPIRED_MAX: Duration = Duration::from_secs(60);

fn renewal<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        place_config_map(stage, "app", "one", &MEMBERS).await?;
        arrives(stage, &MEMBERS, CONFIG_MAP, (ns, "app"), IS_THERE).await?;
        let began = [ready_since(stage, "edge").await?, pid(stage)];
        let first = Leaf::of(stage).await?;
        let twice = eventually("edge has renewed twice", RENEWED_MAX, async || {
            let now = Leaf::of(stage).await.map_err(NotYet::again)?;
            if now.counter >= first.counter + 2 {
                return Ok(now);
            }
            Err(NotYet::again(now.counter))
        })
        .await?;
        expect(
            twice.not_after > first.not_after && twice.not_after > now_unix(),
            "a renewed leaf does not live longer",
        )?;
        change(stage, "two").await?;
        let now = [ready_since(stage, "edge").await?, pid(stage)];
        expect(now == began, format!("edge was away: {began:?} is {now:?}"))?;

        let agent = stage.world.member("edge").agent();
        agent.stop().await?;
        let away = Leaf::of(stage).await?;
        eventually("the leaf of edge has expired", EXPIRED_MAX, async || {
            let left = away.not_after.saturating_sub(now_unix());
            if left == 0 {
                return Ok(());
            }
            Err(NotYet::again(format!("{left} s are left")))
        })
        .await?;
        agent.start()?;
        change(stage, "three").await?;
        let back = Leaf::of(stage).await?;
        expect(
            back.not_after > now_unix() && back.uid == away.uid,
            "edge is back without a new leaf in the same identity",
        )
    })
}

async fn change(stage: &Stage<'_>, value: &'static str) -> Result<(), WorldError> {
    let name = (stage.ns.as_str(), "app");
    stage.door.apply(config_map(name.0, name.1, value)).await?;
    let what = format!("holds {value}");
    arrives(stage, &MEMBERS, CONFIG_MAP, name, (&what, &holds(value))).await
}

/// Since when the front door shows the member as Ready: moves when a session is lost for long.
async fn ready_since(stage: &Stage<'_>, member: &str) -> Result<String, WorldError> {
    let cluster = stage.door.get(CLUSTER, ("", member)).await?;
    let ready = cluster.as_ref().and_then(|c| condition(c, "Ready"));
    Ok(ready.map_or_else(String::new, |c| {
        format!("{} since {}", c["status"], c["lastTransitionTime"])
    }))
}

fn pid(stage: &Stage<'_>) -> String {
    format!("{:?}", stage.world.member("edge").agent().pid())
}

/// What the member keeps about its agent's leaf.
struct Leaf {
    counter: u64,
    not_after: u64,
    uid: String,
}

impl Leaf {
    async fn of(stage: &Stage<'_>) -> Result<Self, WorldError> {
        let edge = stage.member("edge").await?;
        let name = ("flotilla-system", "flotilla-identity");
        let secret = edge.get(SECRET, name).await?.unwrap_or(Value::Null);
        let number = |field: &str| {
            let encoded = secret["data"][field].as_str().unwrap_or("");
            let text = STANDARD.decode(encoded).ok();
            let text = text.and_then(|t| String::from_utf8(t).ok());
            text.and_then(|t| t.parse().ok()).unwrap_or(0)
        };
        Ok(Self {
            counter: number("counter"),
            not_after: number("not-after"),
            uid: secret["metadata"]["uid"].as_str().unwrap_or("").to_owned(),
        })
    }
}
