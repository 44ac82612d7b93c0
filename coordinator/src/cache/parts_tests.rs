//! What is kept once, and for how long.

use proptest::prelude::*;

use super::*;
use crate::cache::testing::{are_shared, record};

#[test]
fn equal_parts_are_one_and_others_are_not() {
    let parts = Parts::default();
    let share = |host: &str, sort: u32| {
        let mut record = record(host, sort);
        record.inventory = parts.share(record.inventory);
        record
    };
    let [a, b, other] = [share("a", 1), share("b", 1), share("c", 2)];
    assert_eq!(are_shared(&a, &b), [true; 4]);
    assert_eq!(are_shared(&a, &other), [false; 4]);
    assert_eq!((b, parts.len()), (record("b", 1), 8));
    drop((a, other));
    // Its parts are gone with it; b, which was compared and dropped above, had the first four.
    parts.sweep();
    assert!(parts.is_empty());
}

#[test]
fn hosts_that_say_something_new_each_time_leave_nothing() {
    let parts = Parts::default();
    let lives = parts.share(record("a", 0).inventory);
    for sort in 1..1000 {
        drop(parts.share(record("b", sort).inventory));
        assert!(parts.len() <= 4 * (SWEEP_MIN + 1), "{}", parts.len());
    }
    parts.sweep();
    assert_eq!(parts.len(), 4);
    assert!(Arc::ptr_eq(
        &parts.share(record("c", 0).inventory).numa.clone().expect("nodes"),
        lives.numa.as_ref().expect("nodes")
    ));
}

#[test]
fn what_cannot_be_decoded_is_not_kept() {
    let parts = Parts::default();
    assert_eq!(parts.cpus.decoded(b"x", |_| Err("odd")), Err("odd"));
    assert!(parts.is_empty());
}

proptest! {
    /// Whatever comes and goes in whatever order: equal is the same, and nothing stays of what is gone.
    #[test]
    fn as_a_plain_list_would_have_it(steps in prop::collection::vec((0_usize..8, prop::option::of(0_u32..4)), 0..60)) {
        let parts = Parts::default();
        let mut hosts: Vec<Option<(u32, Arc<Inventory>)>> = vec![None; 8];
        for (host, sort) in steps {
            let name = format!("host {host}");
            hosts[host] = sort.map(|sort| (sort, parts.share(record(&name, sort).inventory)));
            let there: Vec<_> = hosts.iter().flatten().collect();
            for (a, one) in &there {
                prop_assert_eq!(&one.cpu, &record("x", *a).inventory.cpu);
                for (b, other) in &there {
                    let same = one.cpu.as_ref().zip(other.cpu.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
                    prop_assert_eq!(same, a == b);
                }
            }
            let sorts: std::collections::BTreeSet<_> = there.iter().map(|(sort, _)| sort).collect();
            parts.sweep();
            prop_assert_eq!(parts.len(), 4 * sorts.len());
        }
    }
}
