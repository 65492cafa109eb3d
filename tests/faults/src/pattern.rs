//! Bytes that show whether they are whole.
//!
//! All of them are odd, so no line of them looks like the mark of a sealed object.

use crate::row::{Outcome, broken};

/// Writes the bytes of this number (below 64).
pub fn fill(bytes: &mut [u8], number: usize) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = pattern(number, at);
    }
}

fn pattern(number: usize, at: usize) -> u8 {
    0x81 | ((at.wrapping_mul(31).wrapping_add(number) & 0x3f) as u8) << 1
}

/// The number that was written, if the bytes are whole.
pub fn number_in(bytes: &[u8]) -> Outcome<usize> {
    let first = bytes.first().ok_or_else(|| broken("no bytes"))?;
    let number = usize::from((first & 0x7e) >> 1);
    let wrong = |&(at, &byte): &(usize, &u8)| byte != pattern(number, at);
    match bytes.iter().enumerate().find(wrong) {
        None => Ok(number),
        Some((at, byte)) => Err(broken(format!(
            "byte {at} of {} of object {number} is {byte:#x}",
            bytes.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_of_another_object_is_seen() {
        let mut bytes = [0; 300];
        fill(&mut bytes, 63);
        assert_eq!(number_in(&bytes).unwrap(), 63);
        let mut other = [0; 300];
        fill(&mut other, 62);
        bytes[299] = other[299];
        assert!(number_in(&bytes).is_err() && number_in(&[]).is_err());
    }
}
