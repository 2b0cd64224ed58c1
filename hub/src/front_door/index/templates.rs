//! What a change of a template touches: its placement, and its share in the clusters it is in.

use std::sync::Arc;

use serde_json::Value;

use super::{Context, Seen, State};
use crate::front_door::keys::{Gvk, TemplateKey};
use crate::front_door::template::Template;

impl State {
    pub(super) fn apply_template(
        &mut self,
        ctx: &Context<'_>,
        gvk: &Gvk,
        object: &Value,
        seen: Seen,
    ) {
        let key = TemplateKey::of(gvk, object);
        let old = self.templates.get(&key).cloned();
        let new = Template::read(gvk, object, ctx.bodies, old.as_deref());
        if new.deleting && seen == Seen::Live {
            self.note_deleted(&new.uid);
        }
        let revision = new.resource_version.parse().unwrap_or(0);
        let delivers_like = old.as_ref().is_some_and(|o| o.delivers_like(&new));
        let same_head = old.as_ref().is_some_and(|o| o.head == new.head);
        let places_like = old.as_ref().is_some_and(|o| o.places_like(&new));
        let new_generation = new.generation;
        self.templates.insert(key.clone(), Arc::new(new));
        if !places_like {
            self.dirty.placement.insert(key.clone());
        }
        let Some(binding) = self.binding_of.get(&key).cloned() else {
            return;
        };
        let same_generation = old.as_ref().is_some_and(|o| o.generation == new_generation);
        if !delivers_like || !same_generation {
            // Its status is compared with the new generation.
            self.dirty.status.insert(binding.clone());
        }
        if !delivers_like || !same_head {
            self.assign(ctx, &binding, None, revision);
        }
    }

    pub(super) fn remove_template(&mut self, key: &TemplateKey, uid: &str, seen: Seen) {
        let Some(template) = self.templates.get_mut(key) else {
            return;
        };
        // An older one's event, after the newer one was listed.
        if !uid.is_empty() && uid != template.uid {
            return;
        }
        let uid = template.uid.clone();
        self.dirty.placement.insert(key.clone());
        match self.binding_of.get(key) {
            // Members keep what they have until the binding goes.
            Some(binding) => {
                Arc::make_mut(template).gone = true;
                self.dirty.status.insert(binding.clone());
            }
            None => {
                self.templates.remove(key);
            }
        }
        if seen == Seen::Live {
            self.note_deleted(&uid);
        }
    }
}
