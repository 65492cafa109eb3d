//! What a process does that writes nonsense over all that it shares: it reads where it may write from
//! its own list of mappings, and writes there as the kernel lets it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::random::Random;

/// Bytes of a line, which messages come in.
const LINE_BYTES: u64 = 64;
/// Words written at once, at most.
const WORDS_MAX: u64 = 64;

/// A process's hold on the memory that it shares.
pub struct Scribbles {
    memory: File,
    ranges: Vec<Range<u64>>,
    random: Random,
}

impl Scribbles {
    /// Over all that this process shares now.
    pub fn new(seed: u64) -> io::Result<Self> {
        let mut own = OpenOptions::new();
        Ok(Self {
            memory: own.read(true).write(true).open("/proc/self/mem")?,
            ranges: shared_and_writable()?,
            random: Random::new(seed),
        })
    }

    /// Writes once, somewhere, of one kind or another. What is not mapped any more is passed over.
    pub fn once(&mut self) {
        let count = self.ranges.len().max(1) as u64;
        let at = self.random.below(count) as usize;
        let Some(range) = self.ranges.get(at).cloned() else {
            return;
        };
        let kind = self.random.below(20);
        let words = 1 + self.random.below(WORDS_MAX);
        match kind {
            0 => drop(self.fill(&range)),
            1 | 2 => drop(self.copy_line(&range)),
            _ => {
                let found = self.found(&range);
                for _ in 0..words {
                    drop(self.word(&range, kind, &found));
                }
            }
        }
    }

    /// All of it.
    fn fill(&mut self, range: &Range<u64>) -> io::Result<()> {
        let words = (range.end - range.start) / 8;
        let bytes: Vec<u8> = (0..words)
            .flat_map(|_| self.random.next().to_ne_bytes())
            .collect();
        self.memory.write_all_at(&bytes, range.start)
    }

    /// A message that was right comes again, or another in its place.
    fn copy_line(&mut self, range: &Range<u64>) -> io::Result<()> {
        let lines = (range.end - range.start) / LINE_BYTES;
        let mut line = [0; LINE_BYTES as usize];
        let from = range.start + self.random.below(lines) * LINE_BYTES;
        let to = range.start + self.random.below(lines) * LINE_BYTES;
        self.memory.read_exact_at(&mut line, from)?;
        self.memory.write_all_at(&line, to)
    }

    /// Words that are in use.
    fn found(&self, range: &Range<u64>) -> Vec<u64> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if self.memory.read_exact_at(&mut bytes, range.start).is_err() {
            return Vec::new();
        }
        let words = bytes.chunks_exact(8).enumerate();
        words
            .filter(|(_, word)| word.iter().any(|&byte| byte != 0))
            .map(|(at, _)| range.start + at as u64 * 8)
            .collect()
    }

    /// One word: any value, a small one, or nearly what was there.
    fn word(&mut self, range: &Range<u64>, kind: u64, found: &[u64]) -> io::Result<()> {
        let place = match kind % 4 {
            0 => range.start + self.random.below((range.end - range.start) / 8) * 8,
            _ => match found.get(self.random.below(found.len().max(1) as u64) as usize) {
                Some(&place) => place,
                None => return Ok(()),
            },
        };
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, place)?;
        let old = u64::from_ne_bytes(word);
        let new = match self.random.below(4) {
            0 => self.random.next(),
            1 => self.random.below(300),
            2 => old.wrapping_add(self.random.below(5)).wrapping_sub(2),
            _ => old ^ 1 << self.random.below(64),
        };
        self.memory.write_all_at(&new.to_ne_bytes(), place)
    }
}

/// From this process's list of mappings.
fn shared_and_writable() -> io::Result<Vec<Range<u64>>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let ours = maps
        .lines()
        .filter(|line| line.contains("rw-s") && line.contains("memfd:maser"));
    let parsed = ours.filter_map(|line| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(number(start)?..number(end)?)
    });
    Ok(parsed.collect())
}

/// What no process could do to another: writes over the control memory that `pid` has.
pub fn over_another(pid: u32, seed: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        let name = std::fs::read_link(&path).unwrap_or_default();
        if !name.to_string_lossy().contains("memfd:maser-control") {
            continue;
        }
        let file = OpenOptions::new().write(true).open(&path)?;
        let words = file.metadata()?.len() / 8;
        let bytes: Vec<u8> = (0..words)
            .flat_map(|_| random.next().to_ne_bytes())
            .collect();
        file.write_all_at(&bytes, 0)?;
    }
    Ok(())
}
