//! All claims: who may have one, undoing, pages, and the export.

use proptest::prelude::*;

use super::*;
use crate::claims::{
    ClaimFilter, ClaimState, ImportError, import_json,
    testing::{admit, at, instances, new_claim, new_move},
};

#[test]
fn an_instance_has_one_host_unless_it_moves() {
    let mut book = ClaimBook::default();
    admit(&mut book, vec![new_claim(1, "a"), new_claim(2, "a")]);
    let refused = |asked| book.admit(asked).expect_err("a conflict").to_string();
    let one = InstanceId(1);
    assert_eq!(
        refused(vec![new_claim(1, "a")]),
        format!("instance {one} has a claim on host 'a': release it, or place it elsewhere")
    );
    assert_eq!(
        refused(vec![new_move(1, "a")]),
        format!("instance {one} has a claim on host 'a': release it, or place it elsewhere")
    );
    let elsewhere = refused(vec![new_claim(3, "b"), new_claim(1, "b")]);
    assert_eq!(
        elsewhere,
        format!("instance {one} has a claim on host 'a': release it, or ask with purpose MOVE")
    );
    assert_eq!(book.len(), 2, "all or none");
    let within = book.admit(vec![new_claim(5, "b"), new_claim(5, "c")]).expect_err("a conflict");
    assert_eq!((within.host.as_str(), within.id), ("b", None));
    admit(&mut book, vec![new_move(1, "b")]);
    let third = book.admit(vec![new_move(1, "c")]).expect_err("a conflict");
    assert_eq!((third.host.as_str(), third.hosts, third.id), ("a", 2, Some(ClaimId(0))));
    let there = book.admit(vec![new_move(1, "b")]).expect_err("a conflict");
    assert_eq!((there.host.as_str(), there.same_host), ("b", true));
    assert_eq!(book.of(one).map(|claim| claim.host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let released = book.release(&BTreeSet::from([ClaimId(0), ClaimId(9)]));
    assert_eq!((released.changes, released.unknown), (vec![Change::Remove(ClaimId(0))], vec![ClaimId(9)]));
}

#[test]
fn an_answer_of_a_host_is_about_its_own_claims() {
    let mut book = ClaimBook::default();
    admit(&mut book, vec![new_claim(1, "a"), new_claim(2, "b")]);
    let changes = book.observe("a", at(700), &instances(&[2]));
    assert_eq!(changes, [Change::Remove(ClaimId(0))]);
    assert_eq!(book.observe("c", at(700), &instances(&[1, 2])), []);
    assert_eq!(book.observe("b", at(700), &instances(&[2])).len(), 1);
    assert_eq!(book.observe("b", at(699), &instances(&[])), [], "asked before the last");
}

#[test]
fn pages_are_in_order_and_complete() {
    let mut book = ClaimBook::default();
    let hosts = ["a", "b", "c"];
    admit(&mut book, (0..30).map(|number| new_claim(number, hosts[number as usize % 3])).collect());
    for change in book.confirm(&(0..10).map(ClaimId).collect()).changes {
        book.apply(&change);
    }
    let host = Some("b".to_owned());
    for (filter, count) in [
        (ClaimFilter::default(), 30),
        (ClaimFilter { host: host.clone(), ..ClaimFilter::default() }, 10),
        (ClaimFilter { state: Some(ClaimState::Confirmed), ..ClaimFilter::default() }, 10),
        (ClaimFilter { host: host.clone(), state: Some(ClaimState::Confirmed), ..ClaimFilter::default() }, 3),
        (ClaimFilter { instance: Some(InstanceId(4)), ..ClaimFilter::default() }, 1),
        (ClaimFilter { instance: Some(InstanceId(5)), host, ..ClaimFilter::default() }, 0),
    ] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = book.page(&filter, after, 4);
            assert!(page.claims.len() <= 4);
            found.extend(page.claims.iter().map(|claim| claim.id));
            after = page.next_after;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), count, "{filter:?}");
        assert!(found.is_sorted());
    }
    assert_eq!(book.hosts(), hosts.into());
}

#[test]
fn an_export_comes_back_as_it_was() {
    let mut book = ClaimBook::default();
    admit(&mut book, vec![new_claim(1, "a"), new_claim(2, "b"), new_move(1, "b")]);
    let changes = book.observe("a", at(20), &instances(&[1]));
    for change in &changes {
        book.apply(change);
    }
    let text = book.export_json().expect("JSON");
    assert!(text.starts_with("{\n  \"schema\": \"vmuster.claims.backup.v1\",\n  \"claims\": [\n"), "{text}");
    assert!(text.contains("\"id\": \"c1\"") && text.contains("\"state\": \"observed\""), "{text}");
    let back = import_json(&text).expect("an export");
    assert_eq!(ClaimBook::new(back, 0).export_json().expect("JSON"), text);
    assert!(matches!(import_json(&text.replace(".v1", ".v2")), Err(ImportError::OtherVersion(_))));
    assert!(matches!(import_json(&text.replace("\"c2\"", "\"c1\"")), Err(ImportError::Twice(ClaimId(1)))));
    assert!(matches!(import_json(&text.replace("\"b\"", "\"a\"")), Err(ImportError::TooMany(ClaimId(2)))));
    assert!(matches!(import_json(&text.replace("held", "confirmed")), Err(ImportError::NoEnd(ClaimId(1)))));
    assert!(matches!(import_json(&text.replace("\"vcpus\"", "\"cpus\"")), Err(ImportError::Json(_))));
    assert!(matches!(import_json(&text[..text.len() / 2]), Err(ImportError::Json(_))));
}

#[derive(Debug, Clone)]
enum Step {
    Admit(Vec<(u128, u8, bool)>),
    Release(u64),
    Confirm(u64),
    Observe(u8, u64, Vec<u128>),
}

fn step() -> impl Strategy<Value = Step> {
    let asked = proptest::collection::vec((0..6u128, 0..4u8, any::<bool>()), 1..4);
    prop_oneof![
        4 => asked.prop_map(Step::Admit),
        1 => (0..20u64).prop_map(Step::Release),
        1 => (0..20u64).prop_map(Step::Confirm),
        2 => (0..4u8, 0..2_000u64, proptest::collection::vec(0..6u128, 0..4))
            .prop_map(|(host, time, present)| Step::Observe(host, time, present)),
    ]
}

fn changes_of(book: &mut ClaimBook, step: Step) -> Vec<Change> {
    match step {
        Step::Admit(asked) => {
            let asked = asked.into_iter().map(|(instance, host, moves)| {
                let host = format!("h{host}");
                if moves { new_move(instance, &host) } else { new_claim(instance, &host) }
            });
            book.admit(asked.collect()).unwrap_or_default()
        }
        Step::Release(id) => book.release(&BTreeSet::from([ClaimId(id)])).changes,
        Step::Confirm(id) => book.confirm(&BTreeSet::from([ClaimId(id)])).changes,
        Step::Observe(host, time, present) => {
            book.observe(&format!("h{host}"), at(time), &instances(&present))
        }
    }
}

fn contents(book: &ClaimBook) -> Vec<Claim> {
    book.all().map(|claim| claim.as_ref().clone()).collect()
}

proptest! {
    /// The three ways to find a claim and the counts agree, the rule of hosts holds, names are new, and undoing gives what was.
    #[test]
    fn whatever_happens_the_book_is_in_order(steps in proptest::collection::vec(step(), 0..30)) {
        let mut book = ClaimBook::default();
        let mut given = BTreeSet::new();
        for step in steps {
            let before = contents(&book);
            let changes = changes_of(&mut book, step);
            for change in &changes {
                if let Change::Put(claim) = change && book.get(claim.id).is_none() {
                    prop_assert!(given.insert(claim.id), "{} again", claim.id);
                }
            }
            let undo: Vec<_> = changes.iter().filter_map(|change| book.apply(change)).collect();
            let after = contents(&book);
            for change in undo.iter().rev() {
                book.apply(change);
            }
            prop_assert_eq!(contents(&book), before);
            for change in &changes {
                book.apply(change);
            }
            prop_assert_eq!(contents(&book), after);
            crate::claims::export::check(&contents(&book)).expect("in order");
            let all = book.len();
            let of = |state| book.all().filter(|claim| claim.state == state).count();
            let counts = ClaimCounts {
                held: of(ClaimState::Held),
                confirmed: of(ClaimState::Confirmed),
                observed: of(ClaimState::Observed),
            };
            prop_assert_eq!(book.counts(), counts);
            prop_assert_eq!(book.hosts().into_iter().map(|host| book.on(host).count()).sum::<usize>(), all);
            prop_assert_eq!((0..6).map(|instance| book.of(InstanceId(instance)).count()).sum::<usize>(), all);
        }
    }
}
