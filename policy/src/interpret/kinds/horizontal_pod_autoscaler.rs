//! HorizontalPodAutoscaler. Each member scales on its own; the template shows the sums.

use serde_json::{Value, json};

use crate::api::AggregatedStatusItem;
use crate::interpret::Interpreter;
use crate::interpret::read::{self, Read};

pub(crate) struct HorizontalPodAutoscaler;

impl Interpreter for HorizontalPodAutoscaler {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[("autoscaling/v2", "HorizontalPodAutoscaler")]
    }

    fn status(&self, object: &Value) -> Read<Option<Value>> {
        let Some(status) = read::status(object)? else {
            return Ok(None);
        };
        parse(status).map(|(current, desired)| Some(to_status(current, desired)))
    }

    fn aggregate(
        &self,
        template: &Value,
        items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Read<Option<Value>> {
        let (mut current_sum, mut desired_sum) = (0, 0);
        for (current, desired) in read::statuses(items, parse).filter_map(|(_, parsed)| parsed) {
            current_sum = i64::from(i32::MAX).min(current_sum + current);
            desired_sum = i64::from(i32::MAX).min(desired_sum + desired);
        }
        read::if_changed(template, to_status(current_sum, desired_sum))
    }
}

fn parse(status: &Value) -> Read<(i64, i64)> {
    Ok((
        read::int32(status, &["currentReplicas"])?,
        read::int32(status, &["desiredReplicas"])?,
    ))
}

fn to_status(current: i64, desired: i64) -> Value {
    if current == 0 {
        json!({ "desiredReplicas": desired })
    } else {
        json!({ "currentReplicas": current, "desiredReplicas": desired })
    }
}
