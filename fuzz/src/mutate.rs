//! A small mutator: bytes changed, cut out, doubled, and spliced with those of another input. The same seed gives the
//! same inputs.

/// Longest input that is made, in bytes.
const MAX_LEN: usize = 8 * 1024;
/// Bytes and numbers at which readers decide something.
const TOKENS: [&[u8]; 22] = [
    b"\n",
    b"\n\n",
    b" ",
    b"\0",
    b"0",
    b"=",
    b"+",
    b"\"",
    b"\\",
    b",",
    b"{",
    b"}",
    b"null",
    b"-0",
    b"1e1",
    b"\xe2\x80\x94 ",
    b"\xff",
    b"\0\0\0\0\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\x1f\xff\xff\xff\xff\xff\xff",
    b"\0\x20\0\0\0\0\0\0",
    b"9007199254740992",
];

/// Pseudo-random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Changes an input in one to four ways; `other` is another input to take from.
pub fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = input.to_vec();
    for _ in 0..=random.below(4) {
        step(&mut data, other, random);
    }
    data.truncate(MAX_LEN.max(input.len()));
    data
}

fn step(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let len = 1 + random.below(32);
    let end = (at + len).min(data.len());
    match random.below(9) {
        0 | 1 if at < data.len() => data[at] ^= 1 << random.below(8),
        2 if at < data.len() => data[at] = random.below(256) as u8,
        3 => drop(data.drain(at..end)),
        4 => {
            let copy = data[at..end].to_vec();
            data.splice(at..at, copy);
        }
        5 => {
            let token = TOKENS[random.below(TOKENS.len())];
            let end = if random.below(2) == 0 { at } else { (at + token.len()).min(data.len()) };
            data.splice(at..end, token.iter().copied());
        }
        6 if !other.is_empty() => {
            let from = random.below(other.len());
            let to = (from + len).min(other.len());
            data.splice(at..end, other[from..to].iter().copied());
        }
        7 if end > at => data[at..end].rotate_left(1),
        8 => data.truncate(at),
        _ => data.push(random.below(256) as u8),
    }
}
