//! Lineage: whether what an agent remembers can come from this store's past.
//!
//! Judged before anything else. Only the cursor is sealed by us; a high-water and a highest term are
//! claims, so what they can cause is a more careful session, or a new reign within limits.

use flotilla_proto::v1;

use super::cursor::Cursor;
use crate::epochs::EpochView;
use crate::pki::CursorKey;

/// What an agent's marks say about this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are of our past, or there are none.
    Holds,
    /// They are not, and the list of epochs says why: nothing is deleted or downgraded.
    Recovery,
    /// They are not, and nobody has said so yet: a reign above this term must begin.
    Broken { seen_term: u64 },
}

pub(super) fn judge(
    hello: &v1::Hello,
    view: &EpochView,
    key: &CursorKey,
    cluster_uid: &str,
) -> Verdict {
    let mut verdict = Verdict::Holds;
    let max = hello.max_epoch.as_ref().filter(|e| !e.nonce.is_empty());
    if let Some(max) = max
        && !view.knows(&hex(&max.nonce), max.term)
    {
        verdict = worse(verdict, lost(view, max.term));
    }
    let cursor = Cursor::open(&hello.cursor, key, cluster_uid);
    let mut sealed_term = None;
    match cursor {
        Some(cursor) if view.holds(&hex(&cursor.nonce), cursor.term, cursor.revision) => {
            sealed_term = Some(cursor.term);
        }
        Some(cursor) => verdict = worse(verdict, lost(view, cursor.term)),
        None if hello.cursor.is_empty() => {}
        // Sealed by a CA that is lost, or forged: no proof of anything, hence careful.
        None => verdict = worse(verdict, Verdict::Recovery),
    }
    let high_water = hello.high_water.as_ref().filter(|m| !m.nonce.is_empty());
    if let Some(mark) = high_water
        // A checkpoint of a later reign was given out only when everything before it was answered.
        && sealed_term.is_none_or(|term| term <= mark.term)
        && !view.holds(&hex(&mark.nonce), mark.term, mark.revision)
    {
        verdict = worse(verdict, lost(view, mark.term));
    }
    verdict
}

fn lost(view: &EpochView, seen_term: u64) -> Verdict {
    if view.explains_loss(seen_term) {
        Verdict::Recovery
    } else {
        Verdict::Broken { seen_term }
    }
}

fn worse(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (Verdict::Broken { seen_term: a }, Verdict::Broken { seen_term: b }) => Verdict::Broken {
            seen_term: a.max(b),
        },
        (broken @ Verdict::Broken { .. }, _) | (_, broken @ Verdict::Broken { .. }) => broken,
        (Verdict::Holds, Verdict::Holds) => Verdict::Holds,
        _ => Verdict::Recovery,
    }
}

/// Lower-case hex, as the list holds nonces.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A nonce of the list as it travels.
pub(super) fn nonce_bytes(text: &str) -> [u8; 8] {
    u64::from_str_radix(text, 16).unwrap_or(0).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_policy::api::Epoch;
    use flotilla_proto::digest::Digest;

    fn mk_epoch(incarnation: u64, term: u64, revision: u64) -> Epoch {
        Epoch {
            incarnation,
            term,
            nonce: format!("{term:016x}"),
            revision,
            restored: false,
        }
    }

    fn mk_hello(cursor: Option<(u64, u64)>, high: Option<(u64, u64)>, max: u64) -> v1::Hello {
        let key = CursorKey::from_array([1; 32]);
        let seal = |(term, revision): (u64, u64)| {
            let nonce = term.to_be_bytes();
            let set_digest = Digest::default();
            Cursor {
                nonce,
                term,
                revision,
                set_digest,
            }
            .seal(&key, "uid")
        };
        v1::Hello {
            cursor: cursor.map(seal).unwrap_or_default(),
            high_water: high.map(|(term, revision)| v1::HighWater {
                nonce: term.to_be_bytes().to_vec().into(),
                term,
                n: 1,
                revision,
            }),
            max_epoch: (max > 0).then(|| v1::Epoch {
                incarnation: 0,
                term: max,
                nonce: max.to_be_bytes().to_vec().into(),
            }),
            ..v1::Hello::default()
        }
    }

    #[test]
    fn marks_are_judged_against_the_list() {
        let list = vec![mk_epoch(0, 1, 10), mk_epoch(0, 2, 50)];
        let plain = EpochView::new(list.clone(), mk_epoch(0, 2, 50));
        let mut list = list;
        list.push(mk_epoch(1, 9, 60));
        let raised = EpochView::new(list, mk_epoch(1, 9, 60));
        let check = |view: &EpochView, hello: &v1::Hello, want| {
            let key = CursorKey::from_array([1; 32]);
            assert_eq!(judge(hello, view, &key, "uid"), want, "{hello:?}");
        };
        let broken = |seen_term| Verdict::Broken { seen_term };
        check(&plain, &mk_hello(None, None, 0), Verdict::Holds);
        check(
            &plain,
            &mk_hello(Some((1, 50)), Some((1, 20)), 1),
            Verdict::Holds,
        );
        check(
            &plain,
            &mk_hello(Some((2, 900)), Some((1, 20)), 2),
            Verdict::Holds,
        );
        check(&plain, &mk_hello(Some((1, 51)), None, 1), broken(1));
        check(
            &plain,
            &mk_hello(Some((2, 51)), Some((7, 60)), 7),
            broken(7),
        );
        check(&plain, &mk_hello(None, None, 8), broken(8));
        check(&raised, &mk_hello(None, None, 8), Verdict::Recovery);
        check(
            &raised,
            &mk_hello(Some((1, 51)), None, 1),
            Verdict::Recovery,
        );
        check(&raised, &mk_hello(None, None, 10), broken(10));
        // After Recovery ended the old high-water stays for a while; the newer cursor overrules it.
        check(
            &raised,
            &mk_hello(Some((9, 70)), Some((7, 60)), 9),
            Verdict::Holds,
        );
        check(
            &raised,
            &mk_hello(None, Some((7, 60)), 9),
            Verdict::Recovery,
        );
        let mut forged = mk_hello(Some((1, 20)), None, 1);
        forged.cursor = bytes::Bytes::from_static(b"forged");
        check(&plain, &forged, Verdict::Recovery);
    }
}
