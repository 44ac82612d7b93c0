//! Files that were cut off or changed: exactly what was committed, or a refusal that leaves them as they are.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::claims::{
    ClaimBook, ClaimId, NewClaim, Remembered,
    testing::{admit, at, new_claim, replayed},
};

const COMMITS: u64 = 40;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn claim(instance: u64, host: &str) -> NewClaim {
    new_claim(u128::from(instance), host)
}

/// The files of a coordinator that was killed, and what it had promised. With its log in the file before that, or not.
fn killed(merged: bool) -> (Files, Loaded) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = SqliteClaims::open(directory.path()).expect("opens");
    let mut book = ClaimBook::default();
    let mut batches = Vec::new();
    for number in 0..COMMITS {
        if merged && number == COMMITS / 2 {
            drop(store);
            store = SqliteClaims::open(directory.path()).expect("opens");
        }
        let mut batch = admit(&mut book, vec![claim(number * 2, "a"), claim(number * 2 + 1, "b")]);
        if number % 5 == 4 {
            let answer = vec![7; 700];
            let remembered = Remembered { body_digest: [1; 32], answer, when: at(number) };
            batch.push(Change::Remember(format!("r{number}").into(), Arc::new(remembered)));
            batch.push(Change::Remove(ClaimId(number)));
        }
        store.commit(&batch).expect("kept");
        batches.push(batch);
    }
    // Read while it is open: nothing is tidied up, as after a kill.
    (files(directory.path()), replayed(&batches))
}

#[allow(clippy::disallowed_methods, reason = "tests look at files")]
fn files(directory: &Path) -> Files {
    let entries = directory.read_dir().expect("a directory").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| PathBuf::from(path.file_name().expect("a name"));
    entries.map(|path| (name(&path), fs::read(&path).expect("bytes"))).collect()
}

/// Opens these files: everything that was promised, or refused with nothing changed. Says which.
#[allow(clippy::disallowed_methods, reason = "tests set the scene")]
fn is_whole_or_refused(files_now: &Files, promised: &Loaded, what: &str) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files_now {
        fs::write(directory.path().join(name), bytes).expect("written");
    }
    match SqliteClaims::open(directory.path()) {
        Ok(store) => {
            assert_eq!(store.load().expect("loads"), *promised, "{what}");
            let more = admit(
                &mut ClaimBook::new(promised.claims.clone(), promised.next_id),
                vec![new_claim(999, "z")],
            );
            store.commit(&more).expect("the next commit works");
            assert_eq!(store.load().expect("whole").claims.len(), promised.claims.len() + 1, "{what}");
            true
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("claims.db"), "{what}: {text}");
            let named = matches!(
                error,
                ClaimStoreError::Damaged { .. }
                    | ClaimStoreError::LostCommits { .. }
                    | ClaimStoreError::Other { .. }
            );
            assert!(named, "{what}: {text}");
            for (name, bytes) in files_now.iter().filter(|(name, _)| **name != *"claims.witness") {
                let now = fs::read(directory.path().join(name)).expect("still there");
                assert!(now == *bytes, "{what}: {} was changed", name.display());
            }
            false
        }
    }
}

#[test]
fn a_store_that_was_cut_off_is_whole_or_refused() {
    for merged in [false, true] {
        let (files, promised) = killed(merged);
        assert_eq!(files.len(), 3, "{:?}", files.keys());
        assert!(is_whole_or_refused(&files, &promised, "as it was"));
        let (mut whole, mut refused) = (0, 0);
        for (name, bytes) in &files {
            let step = (bytes.len() / 150).max(1);
            for length in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
                let mut torn = files.clone();
                torn.insert(name.clone(), bytes[..length].to_vec());
                let what = format!("{} of {} bytes", name.display(), length);
                let is_whole = is_whole_or_refused(&torn, &promised, &what);
                *(if is_whole { &mut whole } else { &mut refused }) += 1;
            }
            let mut gone = files.clone();
            gone.remove(name);
            is_whole_or_refused(&gone, &promised, &format!("without {}", name.display()));
        }
        assert!(whole > 10 && refused > 100, "{whole} whole, {refused} refused");
    }
}

#[test]
fn a_changed_byte_is_harmless_or_refused() {
    let mut seed = 42u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).expect("small")
    };
    let (mut whole, mut refused) = (0, 0);
    for merged in [false, true] {
        let (files, promised) = killed(merged);
        let names: Vec<_> = files.keys().cloned().collect();
        for round in 0..500 {
            let mut changed = files.clone();
            let name = &names[random(names.len())];
            let bytes = changed.get_mut(name).expect("there");
            // Often where SQLite keeps its own: the beginning of a page.
            let at = if round % 3 == 0 { random(bytes.len().min(200)) } else { random(bytes.len()) };
            bytes[at] ^= 1 << random(8);
            let what = format!("{} changed at {at}", name.display());
            *(if is_whole_or_refused(&changed, &promised, &what) { &mut whole } else { &mut refused }) += 1;
        }
    }
    assert!(whole > 50 && refused > 200, "{whole} whole, {refused} refused");
}

/// A power cut: the log ends anywhere after what was written through, and the witness is of that time or before.
#[test]
#[allow(clippy::disallowed_methods, reason = "tests set the scene")]
fn a_log_that_ends_early_gives_exactly_what_was_committed_by_then() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteClaims::open(directory.path()).expect("opens");
    let log = directory.path().join("claims.db-wal");
    let mut book = ClaimBook::default();
    let mut batches = Vec::new();
    let mut ends = vec![fs::metadata(&log).expect("there").len()];
    let mut witnesses = Vec::new();
    for number in 0..COMMITS {
        let batch = admit(&mut book, vec![claim(number, "a")]);
        witnesses.push(fs::read(directory.path().join("claims.witness")).expect("bytes"));
        store.commit(&batch).expect("kept");
        batches.push(batch);
        ends.push(fs::metadata(&log).expect("there").len());
    }
    assert!(ends.is_sorted(), "the log was not begun anew");
    let mut files = files(directory.path());
    let whole = files.get(Path::new("claims.db-wal")).expect("there").clone();
    for step in 0..200 {
        let length = ends[0] + (whole.len() as u64 - ends[0]) * step / 200;
        let durable = ends.iter().filter(|end| **end <= length).count() - 1;
        files.insert("claims.db-wal".into(), whole[..usize::try_from(length).expect("small")].to_vec());
        let promised = replayed(&batches[..durable]);
        files.insert("claims.witness".into(), witnesses[durable / 2].clone());
        assert!(is_whole_or_refused(&files, &promised, &format!("{durable} commits")));
        files.insert("claims.witness".into(), witnesses[durable].clone());
        assert!(is_whole_or_refused(&files, &promised, &format!("{durable} commits, and known")));
        if let Some(later) = witnesses.get(durable + 1) {
            files.insert("claims.witness".into(), later.clone());
            assert!(!is_whole_or_refused(&files, &promised, "one more was answered"));
        }
    }
}
