//! The marks on a manifest, in full.

use expect_test::expect;
use flotilla_policy::assigning::Conflict;
use flotilla_policy::model::marks::{from_generation_text, to_generation_text};
use flotilla_policy::render::{Marks, stamp};
use serde_json::json;

/// Nothing that a template or an override says can forge ownership.
#[test]
fn marks_win_over_the_manifest() {
    let mut manifest = json!({
        "metadata": {
            "labels": {"app": "web", "fleet.flotilla.dev/owner": "another"},
            "annotations": {"work.karmada.io/conflict-resolution": "abort"},
        },
    });
    let marks = Marks {
        work_id: "3f1c".into(),
        term: 4,
        n: 71,
        fence: 2,
        template_uid: "u-1".into(),
        template_generation: Some(9),
        conflict: Conflict::Overwrite,
    };
    stamp(&mut manifest, &marks);
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    expect![[r#"
        {
          "metadata": {
            "annotations": {
              "fleet.flotilla.dev/fence": "2",
              "fleet.flotilla.dev/generation": "4.71",
              "fleet.flotilla.dev/template-uid": "u-1",
              "resourcetemplate.karmada.io/generation": "9",
              "resourcetemplate.karmada.io/uid": "u-1",
              "work.karmada.io/conflict-resolution": "overwrite"
            },
            "labels": {
              "app": "web",
              "fleet.flotilla.dev/owner": "3f1c",
              "karmada.io/managed": "true"
            }
          }
        }"#]]
    .assert_eq(&text);
}

#[test]
fn generations_survive_as_text() {
    for generation in [(0, 0), (4, 71), (u64::MAX, u64::MAX)] {
        let text = to_generation_text(generation.0, generation.1);
        assert_eq!(from_generation_text(&text), Some(generation));
    }
    for text in [
        "",
        "4",
        "4.",
        ".7",
        "4.7.1",
        "+4.7",
        "04.7",
        "4.-7",
        "99999999999999999999.1",
    ] {
        assert_eq!(from_generation_text(text), None, "{text:?}");
    }
}
