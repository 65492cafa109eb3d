//! The way of an operation through the program, and shortcuts along it.
//!
//! A step costs tens of microseconds, an operation may have tens of thousands of instructions, and
//! each of them is a point. So the way is written down once, and a victim that is to die at
//! instruction `k` runs freely to a breakpoint of the processor shortly before, and is stepped from
//! there only.
//!
//! - PT-1 a shortcut never leads beyond `k` on the way that was written down. Where a victim takes
//!   another way, it dies at another instruction of the operation, or runs to its end and the point
//!   is tried again step by step.

use std::collections::HashMap;

/// Steps that are looked back for a good breakpoint.
const WINDOW: usize = 4096;

/// Addresses of the instructions of an operation, as one victim made them.
#[derive(Debug, Default)]
pub struct Path {
    /// Where it stood after each step.
    places: Vec<u64>,
    /// How often it had stood there before.
    before: Vec<u32>,
}

/// Where to run to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The instruction to stop at.
    pub place: u64,
    /// At its first arrival, or after so many others.
    pub passes: u32,
    /// The steps that this saves.
    pub steps: u64,
}

impl Path {
    /// The way through these places.
    pub fn new(places: Vec<u64>) -> Self {
        let mut counts = HashMap::new();
        let before = places.iter().map(|place| {
            let count = counts.entry(*place).or_insert(0);
            *count += 1;
            *count - 1
        });
        Self {
            before: before.collect(),
            places,
        }
    }

    /// Steps of the whole way.
    pub fn steps(&self) -> u64 {
        self.places.len() as u64
    }

    /// Steps and arrivals that a point costs on average.
    pub fn mean_cost(&self) -> f64 {
        const LOOKS: u64 = 64;
        let cost_of = |look: u64| {
            let k = self.steps() * look / LOOKS;
            let cut = self.shortcut(k);
            cut.map_or(k, |cut| u64::from(cut.passes) + k - cut.steps)
        };
        (0..LOOKS).map(cost_of).sum::<u64>() as f64 / LOOKS as f64
    }

    /// The cheapest way to step `k` (PT-1); `None` if stepping is as cheap.
    pub fn shortcut(&self, k: u64) -> Option<Shortcut> {
        let end = usize::try_from(k)
            .unwrap_or(usize::MAX)
            .min(self.places.len());
        let cost = |at: usize| self.before[at] as usize + 4 + (end - at);
        let best = (end.saturating_sub(WINDOW)..end).min_by_key(|&at| cost(at))?;
        (cost(best) < end).then(|| Shortcut {
            place: self.places[best],
            passes: self.before[best],
            steps: best as u64 + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortcut_ends_at_the_last_place_that_is_cheap_to_run_to() {
        // A long way in, a loop of 100 rounds, and a way out.
        let mut places: Vec<u64> = (1000..2000).collect();
        for _ in 0..100 {
            places.extend([1, 2, 3]);
        }
        places.extend(3000..3100);
        let path = Path::new(places.clone());
        assert_eq!(path.steps(), 1400);
        let cut = path.shortcut(1350).unwrap();
        assert_eq!((cut.place, cut.passes, cut.steps), (3049, 0, 1350));
        // Within the loop each arrival costs as much as a step: fewer of them, then steps.
        let cut = path.shortcut(1030).unwrap();
        assert!(cut.steps <= 1030 && cut.passes <= 10, "{cut:?}");
        let stood = places[..cut.steps as usize].iter();
        let times = stood.filter(|&&place| place == cut.place).count();
        assert_eq!(times as u32, cut.passes + 1);
        assert!(path.shortcut(0).is_none() && path.shortcut(3).is_none());
        assert!((1.0..20.0).contains(&path.mean_cost()));
        assert!(path.shortcut(u64::MAX).unwrap().steps <= 1400);
    }
}
