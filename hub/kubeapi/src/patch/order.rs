//! The order of a list after a strategic merge.
//!
//! Items that the patch (or its `$setElementOrder`) names keep the order given there, the others keep
//! their live order, and the two runs are merged by where their items stood in the live list.

use serde_json::Value;

/// Puts the items of a merged list in order. `wanted` names the order of the patch, `live` is the
/// list before; items are told apart by `key`, or by value when it is none.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    live: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let (named, others): (Vec<_>, Vec<_>) = merged
        .into_iter()
        .partition(|item| place(wanted, item, key).is_some());
    let named = sorted(named, wanted, key);
    let others = sorted(others, live, key);

    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let here = place(live, &item, key);
        while let (Some(here), Some(there)) =
            (here, others.peek().and_then(|it| place(live, it, key)))
        {
            if there >= here {
                break;
            }
            arranged.extend(others.next());
        }
        arranged.push(item);
    }
    arranged.extend(others);
    arranged
}

/// Sorts by place in `order`, one item after the other; an item without a place goes before all that
/// were sorted before it, as it does on a real server.
fn sorted(items: Vec<Value>, order: &[Value], key: Option<&str>) -> Vec<Value> {
    let mut sorted: Vec<(Option<usize>, Value)> = Vec::with_capacity(items.len());
    for item in items {
        let here = place(order, &item, key);
        let goes_before = |there: &Option<usize>| match (here, there) {
            (Some(here), Some(there)) => here < *there,
            _ => true,
        };
        let before = sorted.iter().rev().take_while(|(it, _)| goes_before(it));
        let at = sorted.len() - before.count();
        sorted.insert(at, (here, item));
    }
    sorted.into_iter().map(|(_, item)| item).collect()
}

/// Where the first item of the same key stands.
pub(super) fn place(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    match key {
        Some(key) => {
            let wanted = item.get(key)?;
            list.iter().position(|it| it.get(key) == Some(wanted))
        }
        None => list.iter().position(|it| it == item),
    }
}
