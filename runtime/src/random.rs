//! Randomness, behind a trait, so that a run can be repeated from its seed.
//!
//! [`SeededRandom`] is splitmix64 (Steele, Lea and Flood 2014): a counter and a mixing function.
//! Its whole state is one word, so any number of threads draw from one generator with one atomic
//! addition each; every draw of one generator is a different point of the same fixed sequence.
//!
//! - RN-1 the i-th draw of a generator depends on nothing but its seed and i.
//! - RN-2 none of this is for secrets: the state can be read off one draw.

use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Step of the counter: 2^64 divided by the golden ratio, made odd, so all 2^64 values come by.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A source of uniformly distributed words.
pub trait Random: Send + Sync {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is below `bound / 2^64`.
    fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// A deterministic generator.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    /// Added to by every draw; Relaxed, because nothing else is read on the strength of it.
    counter: AtomicU64,
}

impl SeededRandom {
    /// The sequence of `seed`, from its start.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            counter: AtomicU64::new(seed),
        }
    }

    /// A sequence that no other run has: the seed comes from the operating system's randomness,
    /// by way of the keys that the standard library draws for its hash maps.
    pub fn from_os() -> Self {
        Self::new(RandomState::new().build_hasher().finish())
    }

    /// What this generator was made from: print it where a run must be repeatable.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl Default for SeededRandom {
    fn default() -> Self {
        Self::from_os()
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        mix(self
            .counter
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP))
    }
}

/// The finalizer of splitmix64: a bijection in which every input bit reaches every output bit.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        // First outputs of the reference implementation for the seed 1234567.
        let random = SeededRandom::new(1_234_567);
        let drawn: Vec<u64> = (0..5).map(|_| random.next_u64()).collect();
        let expected: [u64; 5] = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn equal_seeds_give_equal_sequences_and_others_do_not() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            (0..100).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn threads_that_share_a_generator_never_draw_the_same_point() {
        let random = SeededRandom::new(3);
        let drawn: Vec<u64> = std::thread::scope(|scope| {
            let draw = || (0..1_000).map(|_| random.next_u64()).collect::<Vec<_>>();
            let threads = [scope.spawn(draw), scope.spawn(draw)];
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        let alone = SeededRandom::new(3);
        let expected: HashSet<u64> = (0..2_000).map(|_| alone.next_u64()).collect();
        assert_eq!(drawn.into_iter().collect::<HashSet<_>>(), expected);
    }

    #[test]
    fn seeds_from_the_system_differ() {
        let seeds: HashSet<u64> = (0..16).map(|_| SeededRandom::from_os().seed()).collect();
        assert_eq!(seeds.len(), 16);
    }

    #[test]
    fn draws_below_a_bound_stay_below_it_and_reach_all_values() {
        let random = SeededRandom::new(11);
        let seen: HashSet<u64> = (0..1_000).map(|_| random.below(5)).collect();
        assert_eq!(seen, HashSet::from([0, 1, 2, 3, 4]));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }
}
