//! What a cache should do with one host, in as few lines as it can be said. Shares no code with the cache.

use vmuster_coordinator::cache::Outcome;
use vmuster_tests::scripted::Act;

const SKEW: u64 = 300;
const PAUSES: [u64; 4] = [5, 10, 20, 40];

/// Facts of a version, and when they were last known to hold (seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub version: u64,
    pub validated_at: u64,
    pub superseded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Nothing,
    Entry(Record),
    Garbage,
}

#[derive(Debug)]
pub struct Reference {
    pub ttl: u64,
    pub disk: Disk,
    pub memory: Option<Record>,
    loaded: bool,
    failure: Option<(u64, usize)>,
}

impl Reference {
    pub fn new(ttl: u64) -> Self {
        Self { ttl, disk: Disk::Nothing, memory: None, loaded: false, failure: None }
    }

    pub fn restart(&mut self, ttl: u64) {
        *self = Self { disk: self.disk, ..Self::new(ttl) };
    }

    pub fn load(&mut self, now: u64) {
        if let (false, Disk::Entry(record)) = (self.loaded, self.disk) {
            self.memory = Some(record).filter(|record| record.validated_at <= now + SKEW);
        }
        if !self.loaded && self.memory.is_none() {
            self.disk = Disk::Nothing;
        }
        self.loaded = true;
    }

    /// What a read gives, and how often the agent is called.
    pub fn read(&mut self, now: u64, max_age: Option<u64>, act: Act, version: u64) -> (Outcome, u64) {
        self.load(now);
        let limit = max_age.map_or(self.ttl, |max_age| max_age.min(self.ttl));
        let holds = |record: Record| {
            let off = now.abs_diff(record.validated_at);
            !record.superseded && off < limit && (record.validated_at <= now || off <= SKEW)
        };
        if self.memory.is_some_and(holds) {
            return (Outcome::StillFresh, 0);
        }
        let barred = |(when, count): (u64, usize)| when <= now && now < when + PAUSES[count.min(4) - 1];
        if max_age != Some(0) && self.failure.is_some_and(barred) {
            return (Outcome::Failed, 0);
        }
        if act != Act::Answer {
            self.failure = Some((now, self.failure.map_or(1, |(_, count)| count + 1)));
            return (Outcome::Failed, 1);
        }
        let known = self.memory.is_some_and(|record| record.version == version);
        let record = Record { version, validated_at: now, superseded: false };
        (self.memory, self.disk, self.failure) = (Some(record), Disk::Entry(record), None);
        (if known { Outcome::Unchanged } else { Outcome::Fetched }, 1)
    }

    pub fn supersede(&mut self, now: u64) {
        self.load(now);
        if let Some(record) = &mut self.memory {
            record.superseded = true;
            self.disk = Disk::Entry(*record);
        }
    }
}
