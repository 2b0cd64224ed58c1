//! Durations of repeated operations, and their percentiles.

use std::time::Duration;

/// Durations of one operation.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    pub(super) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The value that `percent` of the samples do not exceed, in milliseconds.
    pub(super) fn ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted
            .get(rank - 1)
            .map_or(0.0, |d| d.as_secs_f64() * 1_000.0)
    }

    /// `p50 / p99` in milliseconds.
    pub(super) fn line(&self) -> String {
        format!("{:.2} / {:.2} ms", self.ms(50), self.ms(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut samples = Samples::default();
        for n in (1..=200).rev() {
            samples.push(Duration::from_millis(n));
        }
        assert_eq!((samples.ms(50), samples.ms(99)), (100.0, 198.0));
    }
}
