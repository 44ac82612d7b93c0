//! Whether more at once is ever less: answers for 1 to 64 clients, fetches by 1 to 256 workers (BLUEPRINT §5).
//!
//! Each burst stands beside one of the least that the same could cost, right after it or right before. Their ratio is
//! what counts, its median over all rounds: what else the machine does meets both.

mod answers;
mod fetches;

use std::{sync::Arc, time::Duration};

use vmuster_proto::model::Inventory;

/// Of the best ratio with fewer at once.
const OF_BEST_MIN: f64 = 0.9;

/// One number at once, over all rounds: how long ours took and how long the least did.
struct Row {
    what: String,
    /// Calls or fetches in a burst.
    count: usize,
    pairs: Vec<(Duration, Duration)>,
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Row {
    fn new(what: impl Into<String>, count: usize) -> Self {
        Self { what: what.into(), count, pairs: Vec::new() }
    }

    /// Ours per second, the least per second, and the median of what their ratio was in each round.
    fn figures(&self) -> [f64; 3] {
        let rate = |took: Duration| self.count as f64 / took.as_secs_f64();
        let ratios = self.pairs.iter().map(|(ours, least)| rate(*ours) / rate(*least));
        [
            middle(self.pairs.iter().map(|(ours, _)| rate(*ours)).collect()),
            middle(self.pairs.iter().map(|(_, least)| rate(*least)).collect()),
            middle(ratios.collect()),
        ]
    }
}

/// Rows by rising numbers at once.
fn judge(title: &str, rows: &[Row]) -> bool {
    println!("{title}\n{:>12} {:>10} {:>10} {:>6} {:>8}", "at once", "ours/s", "least/s", "ratio", "of best");
    let (mut best, mut all_met) = (0.0_f64, true);
    for row in rows {
        let [ours, least, ratio] = row.figures();
        let of_best = if best > 0.0 { ratio / best } else { 1.0 };
        let is_met = of_best >= OF_BEST_MIN;
        let verdict = if is_met { "met   " } else { "MISSED" };
        println!(
            "{:>12} {ours:>10.0} {least:>10.0} {ratio:>6.3} {of_best:>8.3} {verdict} ≥ {OF_BEST_MIN}",
            row.what
        );
        best = best.max(ratio);
        all_met &= is_met;
    }
    all_met
}

/// Whether every number was met.
pub async fn measure(inventories: &[Arc<Inventory>]) -> bool {
    let is_met = answers::measure(inventories).await;
    fetches::measure().await && is_met
}
