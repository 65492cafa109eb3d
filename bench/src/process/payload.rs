//! What is written into payloads and read out of them: by all contenders alike, with the widest
//! vectors that the machine has, as the copies of the floor are made.
#![allow(
    unsafe_code,
    reason = "calls what was compiled for AVX2, once the machine said that it has it"
)]

/// Writes numbers from `first` on.
pub fn fill(payload: &mut [u8], first: u64) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: just detected.
        return unsafe { wide::fill(payload, first) };
    }
    fill_words(payload, first);
}

/// Sum of the numbers in `payload`.
pub fn sum(payload: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: just detected.
        return unsafe { wide::sum(payload) };
    }
    sum_of_words(payload)
}

#[inline(always)]
fn fill_words(payload: &mut [u8], first: u64) {
    for (word, number) in payload.chunks_exact_mut(8).zip(first..) {
        word.copy_from_slice(&number.to_ne_bytes());
    }
}

#[inline(always)]
fn sum_of_words(payload: &[u8]) -> u64 {
    let words = payload.chunks_exact(8);
    words.fold(0, |sum: u64, word| {
        sum.wrapping_add(u64::from_ne_bytes(word.try_into().unwrap_or_default()))
    })
}

#[cfg(target_arch = "x86_64")]
mod wide {
    #[target_feature(enable = "avx2")]
    pub(super) fn fill(payload: &mut [u8], first: u64) {
        super::fill_words(payload, first);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sum(payload: &[u8]) -> u64 {
        super::sum_of_words(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_summed_up() {
        for words in [0, 1, 3, 4, 33] {
            let mut payload = vec![0; words * 8 + 5];
            fill(&mut payload, 5);
            assert_eq!(sum(&payload), (5..5 + words as u64).sum::<u64>());
        }
    }
}
