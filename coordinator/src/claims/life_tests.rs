//! The life of a claim by examples, and against a model that looks at all that happened instead of keeping a state.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::claims::{
    book::ClaimBook,
    change::Change,
    claim::ClaimId,
    testing::{admit, at, instances, new_claim},
};

const ID: ClaimId = ClaimId(0);
const HOST: &str = "kvm-1";

/// One claim of instance 1, held from second 0 to second 600.
struct Story(ClaimBook);

impl Story {
    fn begins() -> Self {
        let mut book = ClaimBook::default();
        admit(&mut book, vec![new_claim(1, HOST)]);
        Self(book)
    }

    fn then(&mut self, changes: &[Change]) -> &mut Self {
        for change in changes {
            self.0.apply(change);
        }
        self
    }

    fn seen(&mut self, asked_at: u64, present: bool) -> Option<ClaimState> {
        let changes = self.0.observe(HOST, at(asked_at), &instances(if present { &[1] } else { &[2] }));
        self.then(&changes).state()
    }

    fn confirm(&mut self) -> Option<ClaimState> {
        let changes = self.0.confirm(&BTreeSet::from([ID])).changes;
        self.then(&changes).state()
    }

    fn renew(&mut self, until: u64) -> Option<ClaimState> {
        let changes = self.0.renew(&BTreeSet::from([ID]), at(until)).changes;
        self.then(&changes).state()
    }

    fn state(&self) -> Option<ClaimState> {
        self.0.get(ID).map(|claim| claim.state)
    }
}

const HELD: Option<ClaimState> = Some(ClaimState::Held);
const CONFIRMED: Option<ClaimState> = Some(ClaimState::Confirmed);
const OBSERVED: Option<ClaimState> = Some(ClaimState::Observed);

#[test]
fn a_guest_comes_and_goes() {
    let mut story = Story::begins();
    assert_eq!(story.seen(10, false), HELD, "it is being made");
    assert_eq!(story.seen(30, true), OBSERVED);
    let claim = story.0.get(ID).expect("there").clone();
    assert_eq!((claim.expires_at, claim.observed_at), (None, Some(at(30))));
    assert_eq!((claim.groups.as_slice(), claim.resources.vcpus), (&["g".into()][..], 4));
    assert_eq!(story.seen(86_400, true), OBSERVED, "it does not expire");
    assert_eq!(story.seen(86_500, false), OBSERVED);
    assert_eq!(story.seen(86_559, false), OBSERVED, "not a minute yet");
    assert_eq!(story.seen(86_560, false), None);
    assert!(story.0.is_empty());
}

#[test]
fn a_hard_reboot_ends_nothing() {
    let mut story = Story::begins();
    story.seen(30, true);
    assert_eq!(story.seen(100, false), OBSERVED);
    assert_eq!(story.seen(130, true), OBSERVED, "back");
    assert_eq!(story.0.get(ID).expect("there").first_missing_at, None);
    assert_eq!(story.seen(200, false), OBSERVED, "the first time again");
    assert_eq!(story.seen(259, false), OBSERVED);
    assert_eq!(story.seen(260, false), None);
}

#[test]
fn an_expiry_while_the_host_is_silent_waits_for_its_answer() {
    let mut story = Story::begins();
    assert_eq!(story.state(), HELD);
    assert_eq!(story.seen(600, false), HELD, "asked when it was still held");
    assert_eq!(story.seen(9_000, true), OBSERVED, "it had been there");
    let mut story = Story::begins();
    assert_eq!(story.seen(9_000, false), None, "it had not");
}

#[test]
fn what_was_asked_before_says_nothing() {
    let mut story = Story::begins();
    assert_eq!(story.seen(0, true), HELD, "of the moment the claim was made");
    story.seen(100, true);
    story.seen(300, true);
    assert_eq!(story.seen(200, false), OBSERVED, "an answer that was late");
    assert_eq!(story.seen(299, false), OBSERVED);
    assert_eq!(story.0.get(ID).expect("there").first_missing_at, None);
}

#[test]
fn confirmed_and_renewed() {
    let mut story = Story::begins();
    assert_eq!(story.renew(2_000), HELD);
    assert_eq!(story.renew(1_000), HELD, "never earlier, as by a clock that went back");
    assert_eq!(story.seen(1_999, false), HELD);
    assert_eq!(story.confirm(), CONFIRMED);
    assert_eq!(story.renew(9_000), CONFIRMED);
    assert_eq!(story.0.get(ID).expect("there").expires_at, None);
    assert_eq!(story.seen(50_000, false), CONFIRMED, "libvirt need not list it");
    assert_eq!(story.seen(50_001, true), OBSERVED);
    assert_eq!((story.confirm(), story.renew(90_000)), (OBSERVED, OBSERVED));
}

#[test]
fn a_hold_has_limits() {
    assert_eq!(hold_until(at(0), None), Ok(at(600)));
    assert_eq!(hold_until(at(0), Some(HOLD_MAX)), Ok(at(86_400)));
    let too_long = HOLD_MAX + Duration::from_secs(1);
    assert_eq!(hold_until(at(0), Some(too_long)), Err(HoldOutOfRange(too_long)));
    let error = hold_until(at(0), Some(Duration::ZERO)).expect_err("no hold").to_string();
    assert!(error.contains("1 s to 86400 s, not 0 s"), "{error}");
}

#[derive(Debug, Clone)]
enum Event {
    Seen(u64, bool),
    Renew(u64),
    Confirm,
}

fn event() -> impl Strategy<Value = Event> + Clone {
    prop_oneof![
        6 => (0..900u64, any::<bool>()).prop_map(|(asked_at, present)| Event::Seen(asked_at, present)),
        1 => (0..900u64).prop_map(Event::Renew),
        1 => Just(Event::Confirm),
    ]
}

/// Events mostly in the order of time, as answers mostly come.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let shuffled = proptest::collection::vec(event(), 0..14);
    let sorted = shuffled.clone().prop_map(|mut events| {
        events.sort_by_key(|event| match event {
            Event::Seen(time, _) | Event::Renew(time) => *time,
            Event::Confirm => 450,
        });
        events
    });
    prop_oneof![shuffled, sorted]
}

/// What the claim is after all of these: looks back over the whole history for each question.
fn model(events: &[Event]) -> Option<ClaimState> {
    let answers: Vec<(usize, u64, bool)> = events
        .iter()
        .enumerate()
        .filter_map(
            |(at, event)| if let Event::Seen(time, there) = event { Some((at, *time, *there)) } else { None },
        )
        .collect();
    let in_order = |(at, time, _): &(usize, u64, bool)| {
        *time > 0 && answers.iter().all(|(before, earlier, _)| before >= at || earlier <= time)
    };
    let told: Vec<_> = answers.iter().copied().filter(in_order).collect();
    let first_present = told.iter().find(|(_, _, present)| *present).map(|(at, ..)| *at);
    let confirmed = events.iter().position(|event| matches!(event, Event::Confirm));
    let unseen = told.iter().take_while(|(_, _, present)| !present);
    let expired =
        unseen.filter(|(at, ..)| confirmed.is_none_or(|confirmed| confirmed > *at)).any(|(at, time, _)| {
            let renewed = events[..*at]
                .iter()
                .filter_map(|e| if let Event::Renew(until) = e { Some(*until) } else { None });
            *time > renewed.chain([600]).max().expect("one at least")
        });
    if expired {
        return None;
    }
    let runs = told.split(|(_, _, present)| *present).skip(1);
    let gone = |run: &[(usize, u64, bool)]| match run {
        [(_, first, _), .., (_, last, _)] => last - first >= 60,
        _ => false,
    };
    match first_present {
        Some(_) => (!runs.into_iter().any(gone)).then_some(ClaimState::Observed),
        None if confirmed.is_some() => CONFIRMED,
        None => HELD,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_events_in_any_order_end_as_the_model_says(events in events()) {
        let mut story = Story::begins();
        for event in &events {
            match event {
                Event::Seen(time, present) => story.seen(*time, *present),
                Event::Renew(until) => story.renew(*until),
                Event::Confirm => story.confirm(),
            };
            if let Some(claim) = story.0.get(ID) {
                prop_assert_eq!(claim.state == ClaimState::Held, claim.expires_at.is_some());
                prop_assert_eq!(claim.state == ClaimState::Observed, claim.observed_at.is_some());
            }
        }
        prop_assert_eq!(story.state(), model(&events));
    }

    /// However the clock jumps while the host says nothing of the guest, a claim only ever ends by an answer.
    #[test]
    fn no_clock_ends_a_claim(untils in proptest::collection::vec(0..90_000u64, 0..20)) {
        let mut story = Story::begins();
        for until in &untils {
            story.renew(*until);
        }
        let end = untils.iter().copied().max().unwrap_or(0).max(600);
        prop_assert_eq!(story.seen(end, false), HELD);
        prop_assert_eq!(story.seen(end + 1, false), None);
    }
}
