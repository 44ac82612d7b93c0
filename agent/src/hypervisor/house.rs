//! Guests and storage, asked of the reader in stages, and what was known last of stages that hang.
//!
//! Knows which stage hung, for how long it is left out, and sizes that were seen. Must not know libvirt.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use vmuster_proto::model::{Domain, Issue, IssueKind, Timestamp};

use super::{
    HouseRead, Memory, ReaderSettings, absence,
    domains::{Assembled, DOMAINS, assemble},
    figures::DiskFigures,
    guest::Failure,
    locked,
    protocol::{Answer, DiskSizes, DomainsRead, Guesthouse, Question, StorageRead},
    put,
    reader::{Asked, ReaderError},
};

/// Section of the pools.
const POOLS: &str = "usage.pools";

/// Where sizes and states come from.
const STATS: &str = "virConnectGetAllDomainStats";

/// A stage that hung is left out for so long, then twice as long each time it hangs again: each try costs libvirt's daemon
/// one of its 20 workers until the storage answers.
const LEFT_OUT_MIN: Duration = Duration::from_secs(60);
const LEFT_OUT_MAX: Duration = Duration::from_secs(3600);

/// A stage that hung.
#[derive(Debug, Clone)]
struct Hung {
    until: Instant,
    wait: Duration,
    why: Failure,
}

/// What was found last.
#[derive(Debug, Default)]
pub(super) struct Kept {
    house: Option<(Guesthouse, Timestamp)>,
    storage: Option<(StorageRead, Timestamp)>,
    /// With the source they were of: another image may be another size.
    sizes: BTreeMap<(String, String), (Option<String>, DiskFigures)>,
    hung_disks: Option<Hung>,
    hung_storage: Option<Hung>,
}

/// Asks, and fills in what is known of what does not answer.
pub(super) fn read(
    settings: &ReaderSettings,
    memory: &Mutex<Memory>,
    now: Timestamp,
    mounts_hang: bool,
) -> HouseRead {
    let question = {
        let kept = &locked(memory).house;
        Question::Domains {
            image_pools: settings.image_pools.clone(),
            leave_out_stopped_disks: mounts_hang || is_left_out(kept.hung_disks.as_ref()),
            leave_out_storage: is_left_out(kept.hung_storage.as_ref()),
        }
    };
    let asked = put(settings, memory, &question);
    let kept = &mut locked(memory).house;
    let (standing, read, later) = match asked {
        Ok(Asked { standing, answer: Some(Answer::Domains(read)), more, unfinished }) => {
            (standing, *read, Later::of(&question, more, unfinished))
        }
        other => {
            let error = other.err().unwrap_or(ReaderError::Unexpected);
            let since = kept.house.as_ref().map(|(_, since)| *since);
            let mut house = kept.house.as_ref().map(|(house, _)| house.clone()).unwrap_or_default();
            house.issues.push(absence(DOMAINS, &error, settings, since));
            return HouseRead { house, collected_at: since, standing: None };
        }
    };
    let collected_at = now.saturating_sub(read.age);
    let house = kept.put_together(read, later, collected_at);
    kept.house = Some((house.clone(), collected_at));
    HouseRead { house, collected_at: Some(collected_at), standing: Some(standing) }
}

fn is_left_out(hung: Option<&Hung>) -> bool {
    hung.is_some_and(|hung| Instant::now() < hung.until)
}

/// What the later stages brought.
#[derive(Debug, Default)]
struct Later {
    sizes: Option<DiskSizes>,
    storage: Option<StorageRead>,
    /// Why not, of the one that did not answer.
    hung_disks: Option<Failure>,
    hung_storage: Option<Failure>,
}

impl Later {
    fn of(question: &Question, more: Vec<Answer>, unfinished: Option<Failure>) -> Self {
        let mut later = Self::default();
        for answer in more {
            match answer {
                Answer::StoppedDisks(sizes) => later.sizes = Some(sizes),
                Answer::Storage(storage) => later.storage = Some(*storage),
                _ => {}
            }
        }
        let asked_for_disks = matches!(question, Question::Domains { leave_out_stopped_disks: false, .. });
        if asked_for_disks && later.sizes.is_none() {
            later.hung_disks = unfinished;
        } else {
            later.hung_storage = unfinished;
        }
        later
    }
}

impl Kept {
    fn put_together(&mut self, read: DomainsRead, later: Later, now: Timestamp) -> Guesthouse {
        let DomainsRead { mut domains, undefined, mut issues, age: _ } = read;
        note(&mut self.hung_disks, later.sizes.is_some(), later.hung_disks);
        note(&mut self.hung_storage, later.storage.is_some(), later.hung_storage);
        self.fill_sizes(&mut domains, &later.sizes.unwrap_or_default(), &mut issues);
        if let Some(hung) = &self.hung_disks {
            let told = hung.told("disks of guests that do not run are not looked at", None);
            issues.push(Issue::new(DOMAINS, STATS, hung.why.kind, told));
        }
        if let Some(storage) = later.storage {
            self.storage = Some((storage, now));
        }
        let known = self.storage.as_ref().map(|(storage, _)| storage.clone()).unwrap_or_default();
        let StorageRead { pools, images, issues: of_storage } = known;
        let Assembled { domains, promised, issues: doubts } =
            assemble(domains, undefined, pools.as_deref().unwrap_or_default(), STATS);
        issues.extend(doubts);
        if let Some(hung) = &self.hung_storage {
            let told = hung.told("pools are not looked at", self.storage.as_ref().map(|(_, since)| *since));
            issues.push(Issue::new(POOLS, "virConnectListAllStoragePools", hung.why.kind, told));
        } else {
            issues.extend(of_storage);
        }
        Guesthouse { domains: Some(domains), pools, images, promised: Some(promised), issues }
    }

    /// Sizes that this answer lacks: a guest that is busy tells none, and storage may hang.
    fn fill_sizes(&mut self, domains: &mut [Domain], sizes: &DiskSizes, issues: &mut Vec<Issue>) {
        let mut seen = BTreeMap::new();
        let mut old = 0u32;
        for domain in domains {
            for disk in &mut domain.disks {
                let key = (domain.uuid.clone(), disk.target.clone());
                if disk.virtual_bytes.is_none()
                    && let Some(size) = sizes.get(&key)
                {
                    (disk.virtual_bytes, disk.allocation_bytes) = (size.virtual_bytes, size.allocation_bytes);
                }
                if disk.virtual_bytes.is_none()
                    && let Some((_, size)) = self.sizes.get(&key).filter(|(source, _)| *source == disk.source)
                {
                    (disk.virtual_bytes, disk.allocation_bytes) = (size.virtual_bytes, size.allocation_bytes);
                    old += 1;
                }
                let (virtual_bytes, allocation_bytes) = (disk.virtual_bytes, disk.allocation_bytes);
                if virtual_bytes.is_some() {
                    seen.insert(key, (disk.source.clone(), DiskFigures { virtual_bytes, allocation_bytes }));
                }
            }
        }
        self.sizes = seen;
        if old > 0 {
            let detail =
                format!("sizes of {old} disks are as they were seen last: their guest or storage is busy");
            issues.push(Issue::new(DOMAINS, STATS, IssueKind::Stale, detail));
        }
    }
}

/// Takes note of how a stage ended. One that was left out stays as it is.
fn note(hung: &mut Option<Hung>, is_there: bool, why: Option<Failure>) {
    if is_there {
        *hung = None;
    } else if let Some(why) = why {
        let wait = hung.as_ref().map_or(LEFT_OUT_MIN, |before| (before.wait * 2).min(LEFT_OUT_MAX));
        *hung = Some(Hung { until: Instant::now() + wait, wait, why });
    }
}

impl Hung {
    fn told(&self, what: &str, since: Option<Timestamp>) -> String {
        let left = self.until.saturating_duration_since(Instant::now()).as_secs();
        let shown = since.map(|since| format!("; shown as they were at {since}")).unwrap_or_default();
        format!("{what} for another {left} s, since looking hung: {}{shown}", self.why.detail)
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{Bytes, DomainDisk, StoragePool};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000_000_000 + seconds * 1000).expect("in range")
    }

    fn read(size: Option<u64>, source: &str) -> DomainsRead {
        let disk = DomainDisk {
            target: "vda".to_owned(),
            source: Some(source.to_owned()),
            virtual_bytes: size.map(Bytes),
            ..DomainDisk::default()
        };
        let domain = Domain { uuid: "u".to_owned(), disks: vec![disk], ..Domain::default() };
        DomainsRead { domains: vec![domain], ..DomainsRead::default() }
    }

    fn late() -> Failure {
        Failure { kind: IssueKind::Timeout, detail: "late".to_owned() }
    }

    fn promised(house: &Guesthouse) -> Option<u64> {
        house.promised.as_ref()?.disk_virtual_bytes.map(|bytes| bytes.0)
    }

    #[test]
    fn a_busy_guests_disks_keep_their_sizes() {
        let mut kept = Kept::default();
        assert_eq!(promised(&kept.put_together(read(Some(7), "/a"), Later::default(), at(0))), Some(7));
        let busy = kept.put_together(read(None, "/a"), Later::default(), at(1));
        assert_eq!(promised(&busy), Some(7));
        assert_eq!(busy.issues.iter().map(|issue| issue.kind).collect::<Vec<_>>(), [IssueKind::Stale]);
        let other = kept.put_together(read(None, "/b"), Later::default(), at(2));
        assert_eq!(promised(&other), None, "another image may be another size");
    }

    #[test]
    fn a_stage_that_hangs_is_left_out_for_longer_each_time() {
        let mut kept = Kept::default();
        let pools = StorageRead { pools: Some(vec![StoragePool::default()]), ..StorageRead::default() };
        let whole = || Later { storage: Some(pools.clone()), ..Later::default() };
        let hung = || Later { hung_storage: Some(late()), ..Later::default() };
        assert_eq!(kept.put_together(read(Some(1), "/a"), whole(), at(0)).issues, []);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let house = kept.put_together(read(Some(1), "/a"), hung(), at(1));
            assert_eq!(house.pools.as_ref().map(Vec::len), Some(1), "as they were");
            assert!(house.issues[0].detail.contains("shown as they were at"), "{:?}", house.issues);
            waits.push(kept.hung_storage.as_ref().expect("noted").wait.as_secs());
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let left_out = kept.put_together(read(Some(1), "/a"), Later::default(), at(2));
        assert_eq!(left_out.issues.len(), 1, "still told");
        assert_eq!(kept.put_together(read(Some(1), "/a"), whole(), at(3)).issues, [], "it answers again");
    }

    #[test]
    fn who_did_not_answer_is_the_first_that_was_asked() {
        let question = |leave_out_stopped_disks| Question::Domains {
            image_pools: vec![],
            leave_out_stopped_disks,
            leave_out_storage: false,
        };
        let hung = |question, more| {
            let later = Later::of(&question, more, Some(late()));
            (later.hung_disks.is_some(), later.hung_storage.is_some())
        };
        assert_eq!(hung(question(false), vec![]), (true, false));
        assert_eq!(hung(question(false), vec![Answer::StoppedDisks(DiskSizes::new())]), (false, true));
        assert_eq!(hung(question(true), vec![]), (false, true));
    }
}
