//! Keys and values of the state map, and how they are derived (formats.md §7).

use crate::hash::sha256;
use crate::id32;

id32! {
    /// Where a leaf sits in the state map.
    MapKey
}
id32! {
    /// What a leaf of the state map commits to.
    MapValue
}

/// Key of an identity's leaf: `H("soulchain/map/id/v1\n" ‖ identity)`.
pub fn identity_key(identity: &[u8; 32]) -> MapKey {
    MapKey::from_bytes(sha256(&[b"soulchain/map/id/v1\n", identity]))
}

/// Value of an identity's leaf: `H("soulchain/staterec/v1\n" ‖ record)`, over the exact bytes of the record.
pub fn identity_value(record: &[u8]) -> MapValue {
    MapValue::from_bytes(sha256(&[b"soulchain/staterec/v1\n", record]))
}

/// Key of a name's leaf: `H("soulchain/map/name/v1\n" ‖ name)`.
pub fn name_key(name: &str) -> MapKey {
    MapKey::from_bytes(sha256(&[b"soulchain/map/name/v1\n", name.as_bytes()]))
}

/// Value of a name's leaf: `H("soulchain/namerec/v1\n" ‖ identity)`, of the identity that holds the name.
pub fn name_value(identity: &[u8; 32]) -> MapValue {
    MapValue::from_bytes(sha256(&[b"soulchain/namerec/v1\n", identity]))
}

impl MapKey {
    /// The bit that decides at `depth` (0 to 255) whether the path goes left (clear) or right (set).
    pub(super) fn bit(&self, depth: usize) -> bool {
        self.as_bytes()[depth / 8] & (0x80 >> (depth % 8)) != 0
    }

    /// How many leading bits both keys have in common: 256 if they are equal.
    pub(super) fn shared_bits(&self, other: &Self) -> usize {
        let pairs = self.as_bytes().iter().zip(other.as_bytes());
        let mut bits = 0;
        for (ours, theirs) in pairs {
            let same = (ours ^ theirs).leading_zeros() as usize;
            bits += same;
            if same < 8 {
                break;
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::MapKey;

    #[test]
    fn bit_zero_is_the_most_significant_of_byte_zero() {
        let mut bytes = [0; 32];
        bytes[0] = 0x80;
        bytes[31] = 0x01;
        let key = MapKey::from_bytes(bytes);
        let set: Vec<usize> = (0..256).filter(|&depth| key.bit(depth)).collect();
        assert_eq!(set, [0, 255]);
    }

    #[test]
    fn shared_bits_end_at_the_first_difference() {
        let key = MapKey::ZERO;
        assert_eq!(key.shared_bits(&key), 256);
        for depth in 0..256 {
            let mut bytes = [0; 32];
            bytes[depth / 8] = 0x80 >> (depth % 8);
            assert_eq!(key.shared_bits(&MapKey::from_bytes(bytes)), depth);
            // What differs behind the first difference does not count.
            bytes[31] |= 1;
            assert_eq!(key.shared_bits(&MapKey::from_bytes(bytes)), depth);
        }
    }
}
