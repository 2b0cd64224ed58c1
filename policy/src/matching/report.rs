//! What matching says about itself: every policy that could have claimed the template, and why it
//! did not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ClaimRef, Contender, PolicyRef, Rank, Scope};

/// One policy of the template's kind and how it fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The policy.
    pub policy: PolicyRef,
    /// Its rank; absent when no selector matches.
    pub rank: Option<Rank>,
    /// How it fared.
    pub verdict: MatchVerdict,
}

/// How a policy fared. The first reason that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MatchVerdict {
    /// It claims a template that nothing held.
    Won,
    /// It held the template before and keeps it.
    Kept,
    /// No selector matches.
    NotSelecting,
    /// It is being deleted.
    Deleting,
    /// Another policy holds the template; claims are not taken over.
    HeldByOther,
    /// A namespaced policy comes first.
    NamespacedFirst,
    /// Its explicit priority is lower.
    LowerPriority,
    /// Its selector is less exact.
    LessExact,
    /// Equal otherwise; the smaller name wins.
    LaterName,
}

impl MatchVerdict {
    fn text(self) -> &'static str {
        match self {
            Self::Won => "claims the template",
            Self::Kept => "keeps the template",
            Self::NotSelecting => "no selector matches",
            Self::Deleting => "is being deleted",
            Self::HeldByOther => "another policy already holds the template",
            Self::NamespacedFirst => "a namespaced policy comes first",
            Self::LowerPriority => "priority is lower",
            Self::LessExact => "selector is less exact",
            Self::LaterName => "equal otherwise, the smaller name wins",
        }
    }
}

/// What matching says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchReport {
    /// A claim that stood and was dropped: its policy is gone, being deleted or selects no more.
    pub dropped: Option<ClaimRef>,
    /// Policies that name the template's kind or hold it, best first.
    pub candidates: Vec<Candidate>,
    /// Policies that were not looked at further, because they do not name the template's kind.
    pub other_kinds: usize,
}

pub(super) fn build(
    current: Option<&ClaimRef>,
    contenders: &[Contender<'_>],
    winner: Option<(usize, bool)>,
    names_kind: impl Fn(&Contender<'_>) -> bool,
) -> MatchReport {
    let kept = winner.is_some_and(|(_, kept)| kept);
    let mut listed: Vec<&Contender<'_>> = contenders
        .iter()
        .filter(|c| names_kind(c) || current.is_some_and(|claim| c.is_of(claim)))
        .collect();
    listed.sort_by(|a, b| super::order(b, a));
    let best = winner.map(|(index, _)| &contenders[index]);
    let candidates: Vec<Candidate> = listed
        .into_iter()
        .map(|c| Candidate {
            policy: c.policy.to_ref(),
            rank: c.rank,
            verdict: verdict(c, best, kept),
        })
        .collect();
    MatchReport {
        dropped: current.filter(|_| !kept).cloned(),
        other_kinds: contenders.len() - candidates.len(),
        candidates,
    }
}

fn verdict(contender: &Contender<'_>, best: Option<&Contender<'_>>, kept: bool) -> MatchVerdict {
    let Some(rank) = contender.rank else {
        return MatchVerdict::NotSelecting;
    };
    if contender.policy.metadata.is_deleting() {
        return MatchVerdict::Deleting;
    }
    let Some((best, best_rank)) = best.and_then(|b| Some((b, b.rank?))) else {
        return MatchVerdict::NotSelecting;
    };
    if std::ptr::eq(best.policy.metadata, contender.policy.metadata) {
        return if kept {
            MatchVerdict::Kept
        } else {
            MatchVerdict::Won
        };
    }
    if kept {
        return MatchVerdict::HeldByOther;
    }
    if best.policy.scope != contender.policy.scope {
        return MatchVerdict::NamespacedFirst;
    }
    match rank {
        r if r.priority != best_rank.priority => MatchVerdict::LowerPriority,
        r if r.exactness != best_rank.exactness => MatchVerdict::LessExact,
        _ => MatchVerdict::LaterName,
    }
}

impl fmt::Display for MatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(claim) = &self.dropped {
            let place = place(claim.scope, &claim.namespace, &claim.name);
            writeln!(f, "{place} held the template and lost it")?;
        }
        for c in &self.candidates {
            let place = place(c.policy.scope, &c.policy.namespace, &c.policy.name);
            write!(f, "{place}: {}", c.verdict.text())?;
            match c.rank {
                Some(r) => writeln!(f, " (priority {}, by {})", r.priority, r.exactness)?,
                None => writeln!(f)?,
            }
        }
        match self.other_kinds {
            0 => Ok(()),
            n => writeln!(f, "{n} more policies select other kinds"),
        }
    }
}

fn place(scope: Scope, namespace: &str, name: &str) -> String {
    match scope {
        Scope::Namespaced => format!("PropagationPolicy {namespace}/{name}"),
        Scope::Cluster => format!("ClusterPropagationPolicy {name}"),
    }
}
