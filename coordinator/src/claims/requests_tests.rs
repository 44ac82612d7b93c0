//! Remembered for a day, not longer, and not too many.

use super::*;
use crate::claims::{holdings::Holdings, testing::at};

const DAY: u64 = 86_400;

fn answer(body: u8, bytes: usize, seconds: u64) -> Remembered {
    Remembered { body_digest: [body; 32], answer: vec![body; bytes], when: at(seconds) }
}

fn apply(holdings: &mut Holdings, changes: &[Change]) {
    for change in changes {
        holdings.apply(change);
    }
}

fn remember(holdings: &mut Holdings, id: &str, remembered: Remembered) {
    let changes = holdings.requests.remember(id, remembered);
    apply(holdings, &changes);
}

#[test]
fn the_same_call_gets_the_same_answer_for_a_day() {
    let mut holdings = Holdings::default();
    remember(&mut holdings, "a", answer(1, 10, 0));
    remember(&mut holdings, "b", answer(2, 10, 100));
    let kept = &holdings.requests;
    assert_eq!(kept.lookup("a", &[1; 32], at(DAY - 1)), Lookup::Same(Arc::new(answer(1, 10, 0))));
    assert_eq!(kept.lookup("a", &[2; 32], Timestamp::EPOCH), Lookup::Reused);
    assert_eq!(kept.lookup("c", &[1; 32], at(0)), Lookup::New);
    assert_eq!(kept.lookup("a", &[2; 32], at(DAY)), Lookup::New, "its day is over, whoever asks");
    let changes = kept.remember("c", answer(3, 10, DAY + 100));
    assert_eq!(changes[..2], [Change::Forget("a".into()), Change::Forget("b".into())], "by who comes");
    assert_eq!(changes.len(), 3);
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let mut holdings = Holdings::default();
    for number in 0..REMEMBERED_MAX as u64 {
        remember(&mut holdings, &format!("{number}"), answer(1, 1, number / 10));
    }
    assert_eq!(holdings.requests.len(), REMEMBERED_MAX);
    let again = holdings.requests.remember("7", answer(1, 1, 20_000));
    assert_eq!(again.len(), 1, "it has its place already");
    remember(&mut holdings, "more", answer(1, 1, 20_000));
    assert_eq!(holdings.requests.len(), REMEMBERED_MAX);
    assert_eq!(holdings.requests.lookup("0", &[1; 32], at(20_000)), Lookup::New);
}

#[test]
fn the_oldest_go_when_they_are_too_large() {
    let mut holdings = Holdings::default();
    for number in 0..5 {
        remember(&mut holdings, &format!("{number}"), answer(1, REMEMBERED_MAX_BYTES / 4, number));
    }
    assert_eq!(holdings.requests.len(), 3);
    remember(&mut holdings, "huge", answer(2, REMEMBERED_MAX_BYTES + 1, 9));
    assert_eq!(holdings.requests.len(), 1, "what is asked now is remembered in any case");
    let mut undone = holdings.requests.remember("next", answer(1, 1, 10));
    let inverse: Vec<_> = undone.drain(..).filter_map(|change| holdings.apply(&change)).collect();
    assert_eq!(holdings.requests.len(), 1);
    for change in inverse.iter().rev() {
        holdings.apply(change);
    }
    assert_eq!(holdings.requests.lookup("huge", &[1; 32], at(10)), Lookup::Reused);
    assert_eq!(holdings.requests.lookup("next", &[1; 32], at(10)), Lookup::New);
}
