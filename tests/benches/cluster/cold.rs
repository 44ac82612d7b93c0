//! Common flags of 1,000 hosts that nothing is known of, over a simulated fleet on loopback (BLUEPRINT §5): beside a plain
//! client that asks the same hosts one after another, and with one host of them that never answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use vmuster_coordinator::{
    cache::HostCache,
    cluster::{Cluster, read_within},
    config::{DEFAULT_FAILURE_TTL, DEFAULT_TTL},
    fetch::{DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE, Fetcher},
    hosts::{HostEntry, Registry},
};
use vmuster_proto::{
    clock::SystemClock,
    model::{FeatureSet, FlagsAnswer, Inventory},
    pb::{self, agent_service_client::AgentServiceClient, get_inventory_response::Outcome},
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, connect},
};
use vmuster_tests::fleet::{Fleet, Manner, Source};

use crate::{median, question};

const HOSTS: usize = 1000;
const ROUNDS: usize = 5;
const HUNG_ROUNDS: usize = 3;

/// The worst place: it is asked last, and its deadline begins when nearly all others are done.
const HUNG: usize = HOSTS - 1;

/// In plaintext; with TLS it may be two.
const COLD_MAX: Duration = Duration::from_secs(1);

/// A coordinator's library that has heard of nobody asks everybody.
async fn common_flags(fleet: &Fleet) -> (Duration, FlagsAnswer) {
    let entries = (0..fleet.count())
        .map(|host| HostEntry::new(fleet.name(host), Some(fleet.address(host).parse().expect("an address"))));
    let registry = Registry::new(entries).expect("distinct");
    let fetcher = Arc::new(Fetcher::new(DEFAULT_CONCURRENCY, DEFAULT_HOST_DEADLINE));
    let cache = HostCache::new(None, fetcher, Arc::new(SystemClock), DEFAULT_TTL, DEFAULT_FAILURE_TTL);
    let cluster = Cluster::new(registry, Arc::new(cache));
    let start = Instant::now();
    let answer = cluster.common_flags(&question(), read_within(None, Duration::from_secs(60))).await;
    (start.elapsed(), answer.expect("an answer").0.clone())
}

/// What a script would do: connect, ask, take apart, the next one.
async fn one_after_another(fleet: &Fleet) -> (Duration, FeatureSet) {
    let start = Instant::now();
    let mut common: Option<FeatureSet> = None;
    for host in 0..fleet.count() {
        let address = fleet.address(host).parse().expect("an address");
        let channel = connect(&address, CONNECT_DEADLINE).await.expect("connects");
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES);
        let answer = client.get_inventory(pb::GetInventoryRequest::default()).await.expect("an answer");
        let Some(Outcome::Collected(collected)) = answer.into_inner().outcome else { panic!("no inventory") };
        let inventory: Inventory = collected.inventory.expect("facts").try_into().expect("they make sense");
        let flags = inventory.cpu.and_then(|cpu| cpu.host_flags.clone()).expect("flags");
        common = Some(common.map_or_else(|| flags.clone(), |common| common.intersection(&flags)));
    }
    (start.elapsed(), common.expect("a host"))
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met   " } else { "MISSED" }
}

async fn all_answer(fleet: &Fleet) -> bool {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (took, answer) = common_flags(fleet).await;
        assert!(answer.complete, "{:?}", answer.missing);
        ours.push(took);
        let (took, common) = one_after_another(fleet).await;
        theirs.push(took);
        assert_eq!(answer.groups[0].features, common);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let (ratio, is_met) = (ours.as_secs_f64() / theirs.as_secs_f64(), ours <= COLD_MAX);
    println!(
        "common flags, cold, {HOSTS} hosts {ours:>9.1?} / one after another {theirs:>9.1?} = {ratio:>5.2} {} ≤ {COLD_MAX:?}",
        verdict(is_met)
    );
    is_met
}

async fn one_hangs(fleet: &Fleet) -> bool {
    let limit = DEFAULT_HOST_DEADLINE.mul_f64(1.1);
    let mut all_met = true;
    for (what, manner) in [("takes the call", Manner::Hangs), ("never says a word", Manner::Silent)] {
        fleet.set(HUNG, manner).await;
        let mut times = Vec::new();
        for _ in 0..HUNG_ROUNDS {
            let (took, answer) = common_flags(fleet).await;
            assert_eq!((answer.missing.len(), answer.missing[0].name.as_str()), (1, fleet.name(HUNG)));
            times.push(took);
        }
        let took = median(times);
        let is_met = took <= limit;
        println!("one hung of {HOSTS}, which {what:18} {took:>9.1?} {} ≤ {limit:?}", verdict(is_met));
        all_met &= is_met;
    }
    all_met
}

/// Whether every number was met.
pub async fn measure() -> bool {
    let fleet = Fleet::start(HOSTS, 1, Source::all_x86()).await;
    let is_met = all_answer(&fleet).await;
    one_hangs(&fleet).await && is_met
}
