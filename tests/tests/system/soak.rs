//! What the soak calls growth.

use std::time::Duration;

use vmuster_tests::soak::{
    Plan,
    verdict::{Sample, judge},
};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A hundred megabytes that go up and down, with a leak of so many KiB in all and so many descriptors that stay.
fn judged(leak_kib: u64, descriptors_left: u64) -> bool {
    let plan = Plan::new(HALF_AN_HOUR);
    let sample = |number: u64| {
        let resident = 100_000 + number * 37 % 2000 + leak_kib * number / 360;
        Sample {
            at: Duration::from_secs(5 * number),
            anon_kib: resident - 8000,
            resident_kib: resident,
            own_resident_kib: resident,
            descriptors: 50 + number * 53 % 200,
            threads: 20,
            ..Sample::default()
        }
    };
    let samples: Vec<_> = (0..360).map(sample).collect();
    let before = Sample { descriptors: 12, threads: 4, ..Sample::default() };
    judge(plan, before, &samples, Sample { descriptors: 12 + descriptors_left, ..before }).1
}

#[test]
fn steady_is_good_and_growth_is_not() {
    assert!(judged(0, 0));
    // 8 MB between the thirds.
    assert!(!judged(16_000, 0));
    assert!(!judged(0, 1), "one descriptor");
}
