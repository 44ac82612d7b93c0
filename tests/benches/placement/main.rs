//! What a placement decision costs in-process, the exhaustive search beside it in the same run: medians of rounds.

mod batches;
mod cells;
mod clusters;
mod shapes;
mod singles;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort();
    times[(times.len() - 1) * percent / 100]
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let answer = black_box(work());
    (start.elapsed(), answer)
}

/// Whether it is within its limit; says so.
fn row(what: &str, ours: Duration, limit: Option<Duration>, beside: &str) -> bool {
    let is_met = limit.is_none_or(|limit| ours <= limit);
    let limit = limit.map(|limit| format!("limit {limit:.0?}{}", if is_met { "" } else { " MISSED" }));
    println!("{what:62} {ours:>10.1?}  {:20} {beside}", limit.unwrap_or_default());
    is_met
}

/// `cargo bench --bench placement -- batches|singles|shapes|cells`: one part alone; `batches 150`: of so many classes.
fn main() {
    type Part = (&'static str, fn() -> bool);
    let parts: [Part; 4] = [
        ("batches", batches::measure),
        ("singles", singles::measure),
        ("shapes", shapes::measure),
        ("cells", cells::measure),
    ];
    let is_named = |name: &str| std::env::args().any(|argument| argument == name);
    let is_any = parts.iter().any(|(name, _)| is_named(name));
    let asked = parts.iter().filter(|(name, _)| !is_any || is_named(name));
    // All are measured, also after one that was missed.
    let missed = asked.filter(|(_, measure)| !measure()).count();
    let is_met = missed == 0;
    assert!(is_met, "a number of BLUEPRINT §5 was missed");
}
