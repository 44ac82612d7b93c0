//! A host with 200 instances is emptied onto 69 others: what is known of it becomes a batch, is decided and answered.

use std::time::{Duration, Instant};

use prost::Message as _;
use prost::bytes::Bytes;
use vmuster_proto::{model, pb};

use crate::{Served, granted_count, middle, verdict};

const HOSTS: usize = 70;
const INSTANCES: u32 = 200;
const ROUNDS: usize = 7;
const LIMIT: Duration = Duration::from_millis(50);

fn guest(number: u32) -> model::Domain {
    model::Domain {
        uuid: format!("6f1d2c3b-0000-4000-8000-{number:012x}"),
        name: format!("guest-{number}"),
        state: Some("running".to_owned()),
        vcpus_max: Some(1 + number % 4),
        memory_max_bytes: Some(model::Bytes(u64::from(1 + number % 5) << 30)),
        virt_type: Some("kvm".to_owned()),
        ..model::Domain::default()
    }
}

fn request(mode: pb::PlaceMode, request_id: String) -> Bytes {
    let completeness = pb::PlaceCompleteness::BestEffort.into();
    let evacuate_host = "kvm-0000".to_owned();
    let request =
        pb::PlaceRequest { request_id, mode: mode.into(), completeness, evacuate_host, ..Default::default() };
    request.encode_to_vec().into()
}

pub async fn measure() -> bool {
    let mut is_met = true;
    for (mode, what) in [(pb::PlaceMode::DryRun, "told"), (pb::PlaceMode::Claim, "promised")] {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let served = Served::with_guests(HOSTS, (0..INSTANCES).map(guest).collect()).await;
            let mut client = served.client("ours").await;
            let request = request(mode, format!("evacuation-{round}"));
            let start = Instant::now();
            let answer = client.ask(request).await;
            times.push(start.elapsed());
            assert_eq!(granted_count(answer), INSTANCES as usize);
        }
        let took = middle(&times, Duration::as_secs_f64);
        let row = format!("{INSTANCES} instances of 1 of {HOSTS} hosts evacuated, {what}");
        println!("{row:62} {took:>10.1?}  limit {LIMIT:?}  {}", verdict(took <= LIMIT));
        is_met &= took <= LIMIT;
    }
    is_met
}
