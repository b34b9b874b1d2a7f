//! Small facts about bytes that traces and metadata state: hash, hex, base64, entropy.

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(HEX[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Standard alphabet with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let sextet = (group >> (18 - 6 * position)) & 63;
            out.push(if position <= chunk.len() { char::from(BASE64[sextet as usize]) } else { '=' });
        }
    }
    out
}

/// How often each byte occurs.
pub(crate) struct Histogram([u64; 256]);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self([0; 256])
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0[usize::from(*byte)] += 1;
        }
    }

    /// Shannon entropy in bits a byte, 0–8: near 8 means compressed or encrypted.
    pub(crate) fn entropy_bits(&self) -> f64 {
        let total = self.0.iter().sum::<u64>() as f64;
        let counts = self.0.iter().filter(|count| **count > 0);
        let bits = counts.map(|count| {
            let share = *count as f64 / total;
            -share * share.log2()
        });
        bits.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_rfc_examples() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn entropy_is_zero_for_one_symbol_and_eight_for_all() {
        let entropy_bits = |bytes: &[u8]| {
            let mut histogram = Histogram::new();
            histogram.add(bytes);
            histogram.entropy_bits()
        };
        assert_eq!(entropy_bits(&[7; 100]), 0.0);
        assert_eq!(entropy_bits(&[]), 0.0);
        let all: Vec<u8> = (0..=255).collect();
        assert!((entropy_bits(&all) - 8.0).abs() < 1e-9);
    }
}
