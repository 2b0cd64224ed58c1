//! `imageOverrider`: changes the registry, the repository, or the tag or digest of images.
//!
//! Without a predicate it goes over the containers of the known workload kinds; with one, to the
//! text at that JSON pointer, whatever the kind. Each overrider parses what the one before left.

use serde_json::Value;

use super::super::{Failure, OverrideKind, Target, containers};
use crate::api::{ImageOverrider, Overriders};
use crate::render::Reason;
use crate::render::image::Image;
use crate::render::patch::{self, PatchError};

pub(in crate::render::overrides) const KIND: OverrideKind = OverrideKind {
    field: "imageOverrider",
    apply,
};

fn apply(target: &mut Target<'_>, overriders: &Overriders) -> Result<(), Failure> {
    for (index, overrider) in overriders.image_overrider.iter().enumerate() {
        override_images(target, overrider).map_err(|reason| Failure { index, reason })?;
    }
    Ok(())
}

fn override_images(target: &mut Target<'_>, overrider: &ImageOverrider) -> Result<(), Reason> {
    let paths = match &overrider.predicate {
        Some(predicate) => vec![predicate.path.clone()],
        None => containers::pointers(target.object)?
            .into_iter()
            .map(|container| container + "/image")
            .collect(),
    };
    for path in paths {
        let text = match patch::get(target.object, &path) {
            Some(Value::String(text)) => text,
            // A container without an image does not parse; a predicate that leads nowhere is wrong.
            None if overrider.predicate.is_none() => "",
            None => return Err(PatchError::Missing(path).into()),
            Some(_) => return Err(Reason::Type("a text")),
        };
        let changed = override_image(text, overrider)?;
        target.patch("replace", &path, Some(&changed.into()))?;
    }
    Ok(())
}

fn override_image(text: &str, overrider: &ImageOverrider) -> Result<String, Reason> {
    let mut image = Image::parse(text).map_err(|error| Reason::Image {
        image: text.to_owned(),
        error,
    })?;
    let value = overrider.value.as_str();
    match overrider.component.as_str() {
        // The same content from another place: a digest beside the tag stays, and stays checked.
        "Registry" => change(&mut image.registry, &overrider.operator, value),
        "Repository" => {
            drop_pinned(&mut image);
            change(&mut image.repository, &overrider.operator, value);
        }
        "Tag" => {
            drop_pinned(&mut image);
            let version = if image.tag.is_empty() {
                &image.digest
            } else {
                &image.tag
            };
            match overrider.operator.as_str() {
                "add" => image.set_tag_or_digest(&format!("{version}{value}")),
                "replace" => image.set_tag_or_digest(value),
                "remove" => {
                    image.tag.clear();
                    image.digest.clear();
                }
                _ => {}
            }
        }
        other => {
            return Err(Reason::Unknown {
                what: "component",
                value: other.to_owned(),
            });
        }
    }
    Ok(image.to_string())
}

/// Another repository or tag means other content: a digest beside the old tag would contradict it.
fn drop_pinned(image: &mut Image) {
    if !image.tag.is_empty() {
        image.digest.clear();
    }
}

/// An unknown operator changes nothing.
fn change(part: &mut String, operator: &str, value: &str) {
    match operator {
        "add" => part.push_str(value),
        "replace" => value.clone_into(part),
        "remove" => part.clear(),
        _ => {}
    }
}
