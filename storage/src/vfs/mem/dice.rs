//! The luck of a crash: the same seed, the same luck.

/// A generator of random numbers (SplitMix64), and how much of what is unsynced survives.
pub(super) struct Dice {
    state: u64,
    /// Of 256.
    share: u64,
    /// What a disk writes as a whole.
    pub block_bytes: usize,
}

impl Dice {
    /// Some crashes spare nearly everything, some nearly nothing.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self { state: seed, share: 0, block_bytes: 512 };
        dice.share = 16 + dice.below(225);
        if dice.below(4) == 0 {
            dice.block_bytes = 4096;
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn survives(&mut self) -> bool {
        self.below(256) < self.share
    }

    /// Which of the moments 0 (durable) to `last` (now) something is as of.
    pub(super) fn moment(&mut self, last: usize) -> usize {
        match (self.survives(), self.below(4)) {
            (true, _) => last,
            (false, 0) => self.below(last as u64 + 1) as usize,
            (false, _) => 0,
        }
    }
}
