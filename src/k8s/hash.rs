//! Ten characters that stand for a text: the tail of names that had to be cut, or that must not meet.

/// The number of characters of a hash.
pub const LENGTH: usize = 10;
/// Almost no vowels, so that hardly a hash reads as a word.
const ALPHABET: &[u8; 32] = b"bcdfghjklmnpqrstvwxyz0123456789a";

/// FNV-1a of 64 bits.
pub fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// 50 bits of [`fnv`]. The same for ever: names of objects in the cluster are made of it.
pub fn hash(text: &str) -> String {
    let hash = fnv(text);
    // The high bits of FNV are the better mixed ones.
    (0..LENGTH).map(|i| char::from(ALPHABET[(hash >> (59 - 5 * i) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_never_changes_and_one_letter_changes_it() {
        assert_eq!(hash(""), "4t4m44gggl");
        assert_eq!(hash("headworks"), "5r0jqjlnf4");
        let all: std::collections::HashSet<_> =
            (0..=255_u8).map(|last| hash(&format!("uid/step/{last}"))).collect();
        assert_eq!(all.len(), 256);
    }
}
