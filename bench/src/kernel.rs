//! What contenders do with the bytes they get, and random numbers.

/// The wrapping sum of native 64-bit words; a tail of less than a word counts as zero-extended.
///
/// Eight sums at once, so that the compiler makes vectors of them and memory is the limit.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    const LANES: usize = 8;
    let mut sums = [0u64; LANES];
    let (blocks, tail) = bytes.as_chunks::<{ LANES * 8 }>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    let blocks = sums.into_iter().fold(0, u64::wrapping_add);
    tail.chunks(8).fold(blocks, |sum, word| {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        sum.wrapping_add(u64::from_ne_bytes(bytes))
    })
}

/// How often `byte` occurs, looked for the way a search does: from find to find.
pub(crate) fn count(byte: u8, bytes: &[u8]) -> u64 {
    memchr::memchr_iter(byte, bytes).count() as u64
}

/// The word at a byte offset.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], offset: u64) -> u64 {
    let at = index(offset);
    let word = bytes[at..at + 8].try_into().expect("a range of eight is eight long");
    u64::from_ne_bytes(word)
}

/// An offset as an index. The benches run on 64-bit machines or on files that fit.
#[inline(always)]
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("test files fit the address space")
}

/// Random numbers by splitmix64: a few instructions each, the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            let value = self.next().to_ne_bytes();
            word.copy_from_slice(&value[..word.len()]);
        }
    }

    /// Offsets below `len` that are multiples of `step`.
    pub(crate) fn offsets(seed: u64, count: usize, len: u64, step: u64) -> Vec<u64> {
        let mut random = Self::new(seed);
        (0..count).map(|_| random.next() % (len / step) * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_pieces_of_whole_words_is_the_sum_of_the_whole() {
        let mut bytes = vec![0; 1000];
        Random::new(1).fill(&mut bytes);
        let plain = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
            .fold(0, u64::wrapping_add);
        assert_eq!(sum(&bytes), plain);
        assert_eq!(sum(&bytes[..72]).wrapping_add(sum(&bytes[72..])), plain);
        assert_eq!(sum(&[1, 2, 3]), 0x03_0201);
    }
}
