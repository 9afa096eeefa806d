//! MT19937 as torch's CPU generator runs it.
//!
//! In: a seed, of which the generator uses the low 32 bits. Out: its 32-bit and 64-bit draws.
//! Keeps: the stream equals `torch.Generator().manual_seed(seed)` to the bit.

const N: usize = 624;
const M: usize = 397;

/// The generator's state.
pub(super) struct Mersenne {
    state: [u32; N],
    next: usize,
}

impl Mersenne {
    /// The generator after seeding with the low 32 bits of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = [0u32; N];
        state[0] = (seed & 0xffff_ffff) as u32;
        let mut word = 0u32;
        for j in 1..N {
            let before = state[j - 1];
            word = word.wrapping_add(1);
            state[j] = 1_812_433_253_u32
                .wrapping_mul(before ^ (before >> 30))
                .wrapping_add(word);
        }
        Self { state, next: N }
    }

    fn refill(&mut self) {
        for j in 0..N {
            let bits = (self.state[j] & 0x8000_0000) | (self.state[(j + 1) % N] & 0x7fff_ffff);
            let twist = if bits & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[j] = self.state[(j + M) % N] ^ (bits >> 1) ^ twist;
        }
        self.next = 0;
    }

    /// The next draw: 32 tempered bits of the state.
    pub(super) fn draw(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// 64 bits: the first draw is the high half.
    pub(super) fn draw_wide(&mut self) -> u64 {
        let high = u64::from(self.draw());
        (high << 32) | u64::from(self.draw())
    }
}
