//! Common flags of 10,000 hosts over a socket, beside an RPC that brings as many bytes and does no work (BLUEPRINT §5).

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use prost::{Message as _, bytes::Bytes};
use tempfile::tempdir;
use vmuster_coordinator::{
    cluster::{Cluster, FlagsQuestion, read_within},
    flags::{Detail, HostFeatures, PARTS_MAX, common_flags},
    hosts::{Registry, Scope},
};
use vmuster_proto::{
    model::{FeatureSet, Inventory, Layer},
    pb,
};

use crate::{MANY_HOSTS, fleet::cluster_of_many, median, ready};

const ROUNDS: usize = 301;

/// At most so many times what an RPC with an answer of the same size takes, asked for nothing special.
const RATIO_MAX: f64 = 2.0;
/// With explanations: five times that.
const EXPLAINED_RATIO_MAX: f64 = 5.0 * RATIO_MAX;

/// What an answer takes that must be made anew, because some host's facts changed. Not in the blueprint.
async fn made_anew(cluster: &Cluster, registry: &Registry, layer: Layer, detail: &Detail) -> Duration {
    let question = FlagsQuestion { layer, scope: Scope::default(), detail: detail.clone() };
    let mut times = Vec::new();
    for _ in 0..15 {
        // Another registry, though equal: nothing that was kept holds.
        cluster.set_registry(registry.clone()).await;
        let start = Instant::now();
        let answer = cluster.common_flags(&question, read_within(None, Duration::from_secs(60))).await;
        times.push(start.elapsed());
        assert!(answer.expect("an answer").0.complete);
    }
    median(times)
}

async fn row(
    what: &str,
    cluster: &Arc<Cluster>,
    directory: &Path,
    message: &pb::ComputeCommonCpuFlagsRequest,
    limit: f64,
) -> bool {
    let request = Bytes::from(message.encode_to_vec());
    let mut ours = ready::serve_cluster(Arc::clone(cluster), &directory.join("ours.sock")).await;
    let answer = ours.ask(request.clone()).await;
    let size = answer.len();
    let mut empty = ready::serve_ready(answer, &directory.join("empty.sock")).await;
    let (mut our_times, mut empty_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (client, times) in [(&mut ours, &mut our_times), (&mut empty, &mut empty_times)] {
            let start = Instant::now();
            let answer = client.ask(request.clone()).await;
            times.push(start.elapsed());
            assert_eq!(answer.len(), size);
        }
    }
    let (ours, empty) = (median(our_times), median(empty_times));
    let ratio = ours.as_secs_f64() / empty.as_secs_f64();
    let is_met = ratio <= limit;
    let verdict = if is_met { "met   " } else { "MISSED" };
    println!(
        "{what:44} {ours:>9.1?} / empty RPC of {size:>7} bytes {empty:>9.1?} = {ratio:>5.2} {verdict} ≤ {limit}"
    );
    is_met
}

/// The most sorts of hosts that are divided, each with features of its own.
const SORTS: usize = 512;
/// So long may a question hold a CPU.
const DIVISION_MAX: Duration = Duration::from_millis(100);

/// Features drawn at random, and the worst there is: sorts that all lose the same together.
fn division() -> bool {
    let mut seed = 1u64;
    let mut draw = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let set = |names: Vec<u64>| {
        let names: Vec<String> = names.into_iter().map(|name| format!("division-{name}")).collect();
        FeatureSet::from_names(names.iter().map(String::as_str)).expect("names")
    };
    let mut all_met = true;
    let drawn: Vec<_> = (0..SORTS).map(|_| set((0..300).filter(|_| draw() % 3 > 0).collect())).collect();
    let alike: Vec<_> = (0..SORTS as u64).map(|sort| set(vec![1000 + sort])).collect();
    for (what, sets) in [("drawn at random", drawn), ("without anything in common", alike)] {
        let names: Vec<_> = (0..SORTS).map(|sort| format!("kvm-{sort:03}")).collect();
        let hosts: Vec<_> = names
            .iter()
            .zip(&sets)
            .map(|(host, features)| HostFeatures {
                host,
                arch: "x86_64",
                vendor: Some("V"),
                features,
                physical_address_bits: None,
                machine_types: None,
                usable_models: None,
            })
            .collect();
        let detail = Detail { suggest_parts_max: PARTS_MAX, ..Detail::default() };
        let times = (0..15).map(|_| crate::timed(|| common_flags(Layer::Guest, &hosts, &detail))).collect();
        let took = median(times);
        let is_met = took <= DIVISION_MAX;
        let verdict = if is_met { "met   " } else { "MISSED" };
        println!("division of {SORTS} sorts {what:28} {took:>9.1?} {verdict} ≤ {DIVISION_MAX:?}");
        all_met &= is_met;
    }
    all_met
}

/// Whether every number was met.
pub async fn measure(inventories: &[Arc<Inventory>]) -> bool {
    let (cluster, registry) = cluster_of_many(inventories);
    let cluster = Arc::new(cluster);
    let mut all_met = division();
    for layer in [Layer::Host, Layer::Guest] {
        let plain = pb::ComputeCommonCpuFlagsRequest {
            layer: pb::CpuFeatureLayer::from(layer).into(),
            ..Default::default()
        };
        let explained =
            pb::ComputeCommonCpuFlagsRequest { include_absent: true, suggest_parts_max: 4, ..plain.clone() };
        for (what, message, limit) in
            [("common flags", &plain, RATIO_MAX), ("  with explanations", &explained, EXPLAINED_RATIO_MAX)]
        {
            let directory = tempdir().expect("a directory");
            let what = format!("{what}, warm, {MANY_HOSTS} hosts, {layer}");
            all_met &= row(&what, &cluster, directory.path(), message, limit).await;
            let detail = Detail {
                absent: message.include_absent,
                suggest_parts_max: message.suggest_parts_max,
                ..Detail::default()
            };
            let anew = made_anew(&cluster, &registry, layer, &detail).await;
            println!("  made anew, because a host's facts changed: {anew:.1?}");
        }
    }
    all_met
}
