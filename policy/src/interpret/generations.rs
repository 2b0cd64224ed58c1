//! Whether a member has caught up. An object is current when its controller has seen the object's
//! present generation, and the object was made from the template's present generation.

use serde_json::{Map, Value, json};

use super::read::{self, Read};
use super::{HealthReport, TEMPLATE_GENERATION_ANNOTATION};
use crate::model::manifest;

/// Puts the generations a hub needs into a status that goes up: the object's own, the template's it
/// was made from, and the one its controller has seen. A template generation that is absent or no
/// number is left out, and the hub then takes the member as behind.
pub(super) fn report(object: &Value, status: &mut Map<String, Value>) -> Read<()> {
    let template = manifest::text(
        object,
        &["metadata", "annotations", TEMPLATE_GENERATION_ANNOTATION],
    )
    .parse::<i64>();
    let numbers = [
        (
            "generation",
            read::int(object, &["metadata", "generation"])?,
        ),
        ("resourceTemplateGeneration", template.unwrap_or(0)),
        (
            "observedGeneration",
            read::int(object, &["status", "observedGeneration"])?,
        ),
    ];
    for (name, number) in numbers {
        if number != 0 {
            status.insert(name.to_owned(), json!(number));
        }
    }
    Ok(())
}

/// Whether a member's status, as [`report`] wrote it, is about the template's present generation.
pub(super) fn is_current(status: &Value, template_generation: i64) -> Read<bool> {
    Ok(
        read::int(status, &["observedGeneration"])? >= read::int(status, &["generation"])?
            && read::int(status, &["resourceTemplateGeneration"])? >= template_generation,
    )
}

/// Unhealthy while the object's controller has not seen its present generation.
pub(super) fn unobserved(object: &Value) -> Read<Option<HealthReport>> {
    let generation = read::int(object, &["metadata", "generation"])?;
    let observed = read::int(object, &["status", "observedGeneration"])?;
    Ok((generation != observed).then(|| {
        HealthReport::unhealthy(format!(
            "generation {generation} not observed yet, last was {observed}"
        ))
    }))
}
