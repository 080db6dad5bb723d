//! Inputs that are nearly right.

use std::ops::Range;

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The most bytes of an input.
const MAX_BYTES: usize = 64 * 1024;

/// Changes seeds, the same way in every run with the same number.
#[derive(Debug)]
pub struct Mutator<'a> {
    rng: TestRng,
    seeds: &'a [Vec<u8>],
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// `seeds` must not be empty; `words` are what the texts are made of.
    #[must_use]
    pub fn new(seed: u64, seeds: &'a [Vec<u8>], words: &'a [&'a str]) -> Self {
        assert!(!seeds.is_empty(), "no seeds");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self { rng, seeds, words }
    }

    /// A seed with one to four changes, mostly with one: each leads further away.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick_seed().clone();
        let most = if self.once_in(3) { 4 } else { 1 };
        for _ in 0..self.rng.random_range(1..=most) {
            self.change(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    /// An input of one's own with one change.
    pub fn changed(&mut self, mut input: Vec<u8>) -> Vec<u8> {
        self.change(&mut input);
        input.truncate(MAX_BYTES);
        input
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick_seed(&mut self) -> &'a Vec<u8> {
        let at = self.below(self.seeds.len());
        &self.seeds[at]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.below(12) {
            0 => {
                if let Some(byte) = self.byte(input) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let new = self.rng.random();
                if let Some(byte) = self.byte(input) {
                    *byte = new;
                }
            }
            2 => {
                let new: u8 = self.rng.random();
                let at = self.below(input.len() + 1);
                input.insert(at, new);
            }
            3 => {
                let part = self.part(input.len());
                input.drain(part);
            }
            4 => {
                let part = self.part(input.len());
                let copy = input[part.clone()].to_vec();
                input.splice(part.end..part.end, copy);
            }
            5 => {
                let other = self.pick_seed();
                let taken = other[self.part(other.len())].to_vec();
                let at = self.part(input.len());
                input.splice(at, taken);
            }
            6 => {
                let word = self.word();
                let at = self.below(input.len() + 1);
                input.splice(at..at, word.bytes());
            }
            7 | 8 => {
                let word = self.word();
                let token = self.token(input);
                input.splice(token, word.bytes());
            }
            9 => {
                let taken = input[self.token(input)].to_vec();
                let at = self.token(input);
                input.splice(at, taken);
            }
            10 => {
                // A line, or what lies between two commas, once more or no longer.
                let line = self.line(input);
                if self.once_in(2) {
                    let copy = input[line.clone()].to_vec();
                    input.splice(line.end..line.end, copy);
                } else {
                    input.drain(line);
                }
            }
            _ => {
                let at = self.below(input.len() + 1);
                if self.once_in(8) {
                    input.truncate(at);
                } else {
                    input.splice(
                        at..at,
                        [b' ', b'\n', b'"', b',', b'/', 0, 0xff]
                            .get(self.below(7))
                            .copied(),
                    );
                }
            }
        }
    }

    fn word(&mut self) -> &'a str {
        match self.words {
            [] => "",
            words => words[self.rng.random_range(0..words.len())],
        }
    }

    fn byte<'i>(&mut self, input: &'i mut [u8]) -> Option<&'i mut u8> {
        let at = self.below(input.len().max(1));
        input.get_mut(at)
    }

    /// Mostly a short one.
    fn part(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        let most = if self.once_in(4) { length } else { 16 };
        let end = start + self.below(most.min(length - start) + 1);
        start..end
    }

    /// A run of letters and digits, or of anything else.
    fn token(&mut self, input: &[u8]) -> Range<usize> {
        if input.is_empty() {
            return 0..0;
        }
        let at = self.below(input.len());
        let same = |byte: &u8| byte.is_ascii_alphanumeric() == input[at].is_ascii_alphanumeric();
        let before = input[..at]
            .iter()
            .rev()
            .take_while(|byte| same(byte))
            .count();
        let after = input[at..].iter().take_while(|byte| same(byte)).count();
        at - before..at + after
    }

    fn line(&mut self, input: &[u8]) -> Range<usize> {
        let separator = if self.once_in(2) { b'\n' } else { b',' };
        let at = self.below(input.len() + 1);
        let start = input[..at].iter().rposition(|byte| *byte == separator);
        let end = input[at..].iter().position(|byte| *byte == separator);
        start.map_or(0, |start| start + 1)..end.map_or(input.len(), |end| at + end + 1)
    }
}
