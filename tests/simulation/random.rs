//! Numbers that a seed decides (splitmix64): a stream of its own for each who draws, so that nobody's numbers depend on who
//! draws before.

pub(crate) struct Random(u64);

impl Random {
    /// The stream of this name.
    pub(crate) fn new(seed: u64, stream: &str) -> Self {
        let mut name = 0xcbf2_9ce4_8422_2325_u64;
        for byte in stream.bytes() {
            name = (name ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut random = Self(seed ^ name.rotate_left(31));
        random.any();
        random
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.any() >> 11) % end
    }

    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}
