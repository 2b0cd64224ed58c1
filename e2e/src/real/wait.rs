//! Waiting for a thing of another process: looks again with growing pauses until it is there or
//! the deadline is past.
//!
//! It decides when to look next. It never ends without saying so: what does not come about is an
//! error that carries what was last seen.

use super::RealError;
use std::{
    future::Future,
    time::{Duration, Instant},
};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Why a look was not the last one.
#[derive(Debug, Clone)]
pub enum NotYet {
    /// Looking again may help; holds what was seen.
    Again(String),
    /// Looking again cannot help; holds the reason.
    Never(String),
}

/// What one look found.
pub type Poll<T> = Result<T, NotYet>;

impl NotYet {
    /// Not there yet, because of `seen`.
    pub fn again(seen: impl ToString) -> Self {
        Self::Again(seen.to_string())
    }

    /// It will not come, because of `reason`.
    pub fn never(reason: impl ToString) -> Self {
        Self::Never(reason.to_string())
    }
}

/// Looks until `look` finds what is waited for; `what` names it in the error of a passed deadline.
pub async fn eventually<T, Look, Looking>(
    what: impl ToString,
    within: Duration,
    mut look: Look,
) -> Result<T, RealError>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Poll<T>>,
{
    let what = what.to_string();
    let started = Instant::now();
    let mut last = String::from("nothing");
    let mut pause = FIRST_PAUSE;
    loop {
        let left = within.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(NotYet::Never(reason))) => return Err(RealError::Hopeless { what, reason }),
            Ok(Err(NotYet::Again(seen))) => last = seen,
            Err(_elapsed) => {}
        }
        // Asked here and not of the timeout, which lets a look that never waits pass.
        if started.elapsed() >= within {
            return Err(RealError::Deadline {
                what,
                after: within,
                last,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_passed_deadline_says_what_was_last_seen() {
        let looked = eventually("two", Duration::from_millis(30), async || {
            Poll::<()>::Err(NotYet::again("one"))
        });
        let error = looked.await.unwrap_err();
        assert_eq!(error.to_string(), "two: not within 30ms; last seen: one");
    }
}
