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
    flags::Detail,
    hosts::{Registry, Scope},
};
use vmuster_proto::{
    model::{Inventory, Layer},
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

/// Whether every number was met.
pub async fn measure(inventories: &[Arc<Inventory>]) -> bool {
    let (cluster, registry) = cluster_of_many(inventories);
    let cluster = Arc::new(cluster);
    let mut all_met = true;
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
