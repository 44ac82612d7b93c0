//! A coordinator that is killed while hosts are added: what it said is kept is there, and the file is always whole.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use vmuster_coordinator::hosts::read_state;
use vmuster_proto::{
    pb::{self, cluster_service_client::ClusterServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::programs::Signal;

use crate::registry::House;

/// Kills; each at another moment of a write.
const ROUNDS: usize = 50;

/// Callers at once.
const CALLERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_any_kill() {
    let house = House::new(&[]);
    let kept = Arc::new(Mutex::new(Vec::<String>::new()));
    for round in 0..ROUNDS {
        let mut daemon = house.start();
        let address = daemon.address.parse().expect("an address");
        let before = kept.lock().expect("nobody panics").len();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let channel = connect(&address, CONNECT_DEADLINE).await.expect("connects");
            let kept = Arc::clone(&kept);
            callers.spawn(async move {
                let mut client = ClusterServiceClient::new(channel);
                for n in 0.. {
                    let name = format!("r{round}-c{caller}-{n}");
                    let address = format!("unix:/nonexistent/{name}.sock");
                    let request = pb::AddHostRequest { name: name.clone(), address, ..Default::default() };
                    if client.add_host(request).await.is_err() {
                        return;
                    }
                    kept.lock().expect("nobody panics").push(name);
                }
            });
        }
        // No moment is like another: after so many answers, with the next writes under way.
        while kept.lock().expect("nobody panics").len() < before + round % 7 {
            tokio::task::yield_now().await;
        }
        daemon.signal(Signal::KILL);
        daemon.wait();
        while callers.join_next().await.is_some() {}
        let there = read_state(&house.at("state")).expect("the file is whole");
        let kept = kept.lock().expect("nobody panics");
        for name in kept.iter() {
            assert!(
                there.iter().any(|host| host.name == *name),
                "round {round}: {name} was answered and is gone"
            );
        }
        // Each caller had at most one call under way, in each round.
        assert!(there.len() <= kept.len() + CALLERS * (round + 1), "round {round}");
    }
    assert!(kept.lock().expect("nobody panics").len() >= ROUNDS);
}
