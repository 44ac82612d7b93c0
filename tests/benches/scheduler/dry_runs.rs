//! Where one instance would go, by one client and many, beside an RPC whose answer is ready.

use std::time::Duration;

use crate::{Served, burst, dry_run, middle, verdict};

const HOSTS: usize = 1000;
const CLIENTS: [usize; 4] = [1, 8, 16, 64];
const ROUNDS: usize = 11;
const CALLS: usize = 2048;

/// Of an empty RPC's rate, and of its 99th percentile.
const RATE_MIN: f64 = 0.5;
const P99_MAX: f64 = 2.0;

/// A second, of 16 clients or more.
const MANY_MIN: f64 = 20_000.0;

pub async fn measure() -> bool {
    let served = Served::new(HOSTS).await;
    let most = CLIENTS[CLIENTS.len() - 1];
    let (ours, ready) = (served.clients("ours", most).await, served.clients("ready", most).await);
    println!("dry run of one instance, {HOSTS} hosts; least: an answer that is ready");
    let mut all_met = true;
    for count in CLIENTS {
        let mut pairs = Vec::new();
        for round in 0..ROUNDS {
            let calls = CALLS / count;
            let one = async |clients| burst(clients, calls, |_, _| dry_run(1)).await;
            let (mine, least) = if round % 2 == 0 {
                let mine = one(&ours[..count]).await;
                (mine, one(&ready[..count]).await)
            } else {
                let least = one(&ready[..count]).await;
                (one(&ours[..count]).await, least)
            };
            let p99 = |of: Duration| of.as_secs_f64();
            pairs.push((mine.rate(), least.rate(), p99(mine.percentile(99)), p99(least.percentile(99))));
        }
        let (rate, ..) = middle(&pairs, |pair| pair.0);
        let of_rate = middle(&pairs, |pair| pair.0 / pair.1);
        let of_rate = of_rate.0 / of_rate.1;
        let of_p99 = middle(&pairs, |pair| pair.2 / pair.3);
        let of_p99 = of_p99.2 / of_p99.3;
        let is_met = of_rate >= RATE_MIN && of_p99 <= P99_MAX && (count < 16 || rate >= MANY_MIN);
        println!(
            "{count:>4} clients {rate:>8.0}/s  {of_rate:>5.2} of its rate (>= {RATE_MIN}), p99 {of_p99:>5.2} x (<= {P99_MAX})  {}",
            verdict(is_met)
        );
        all_met &= is_met;
    }
    all_met
}
