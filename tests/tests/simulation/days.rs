//! One test a bad day.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::Code;
use turmoil::{Sim, hold, partition, release, repair};
use vmuster_coordinator::{config::DEFAULT_FAILURE_TTL, fetch::DEFAULT_HOST_DEADLINE};
use vmuster_proto::model::{Freshness, ProblemKind};
use vmuster_tests::scripted::Act;

use crate::world::{COORDINATOR, PATIENCE, World, live, name};

const SEEDS: [u64; 3] = [1, 2, 3];
const HOSTS: usize = 20;
/// The TTL. The clock is set, not waited for: a simulated day has millions of steps.
const DAY: i64 = 86_400;

/// What a healthy fleet takes at most: three messages each way and the simulation's ticks.
const SOON: Duration = Duration::from_millis(500);

fn undisturbed(_: &mut Sim<'_>) {}

fn days<F: Future<Output = ()> + 'static>(hosts: usize, day: impl Fn(World) -> F + Copy + 'static) {
    for seed in SEEDS {
        live(seed, hosts, undisturbed, day);
    }
}

/// Names and kinds of what is missing.
async fn missing(world: &World) -> Vec<(String, ProblemKind)> {
    let (answer, _) = world.flags().await;
    answer.missing.iter().map(|missing| (missing.name.clone(), missing.problem.kind)).collect()
}

#[test]
fn an_ordinary_day() {
    days(HOSTS, async |world: World| {
        let (answer, took) = world.flags().await;
        assert!(answer.complete && took < SOON, "{took:?} {:?}", answer.missing);
        world.clock.set_by(DAY - 60);
        assert!(world.flags().await.0.complete);
        assert_eq!(world.calls(), [1; HOSTS], "within a day nobody is asked again");
        world.clock.set_by(60);
        assert!(world.flags().await.0.complete);
        assert_eq!(world.calls(), [2; HOSTS], "a day later once");
    });
}

#[test]
fn an_agent_is_down_and_comes_back() {
    days(HOSTS, async |world: World| {
        partition(COORDINATOR, name(3));
        let (answer, took) = world.flags().await;
        assert!(took < SOON * 2, "refused at once, also thrice: {took:?}");
        assert_eq!(answer.missing.len(), 1);
        assert_eq!(answer.missing[0].problem.kind, ProblemKind::Unreachable);
        repair(COORDINATOR, name(3));
        assert_eq!(missing(&world).await.len(), 1, "its failure is remembered for seconds");
        sleep(DEFAULT_FAILURE_TTL).await;
        assert_eq!(missing(&world).await, [], "and not for longer");
    });
}

#[test]
fn an_agent_hangs_in_a_black_hole() {
    days(HOSTS, async |world: World| {
        hold(COORDINATOR, name(3));
        let (answer, took) = world.flags().await;
        assert_eq!(answer.missing.len(), 1);
        assert_eq!(answer.missing[0].problem.kind, ProblemKind::Timeout);
        assert!(took <= DEFAULT_HOST_DEADLINE + SOON, "{took:?}");
        let (_, took) = world.flags().await;
        assert!(took < SOON, "a burst of questions waits for it once: {took:?}");
        release(COORDINATOR, name(3));
        sleep(DEFAULT_FAILURE_TTL).await;
        assert_eq!(missing(&world).await, []);
    });
}

#[test]
fn an_agent_takes_the_call_and_never_answers() {
    days(HOSTS, async |world: World| {
        assert!(world.flags().await.0.complete);
        world.agents[5].act(Act::Hang);
        let (answer, took) = world.refreshed().await;
        let stale: Vec<_> = answer.hosts.iter().map(|host| (host.name.as_str(), host.freshness)).collect();
        assert_eq!(stale, [("kvm-005", Freshness::Stale)], "its last record counts");
        assert!(took <= DEFAULT_HOST_DEADLINE + SOON, "{took:?}");
        assert_eq!(world.agents[5].calls(), 2, "what took its time is not tried again");
    });
}

#[test]
fn a_tenth_of_the_hosts_is_down() {
    live(SEEDS[0], 50, undisturbed, async |world: World| {
        for host in (0..50).step_by(10) {
            if host % 20 == 0 {
                partition(COORDINATOR, name(host));
            } else {
                hold(COORDINATOR, name(host));
            }
        }
        let (answer, took) = world.flags().await;
        let expected: Vec<_> = (0..50).step_by(10).map(name).collect();
        assert_eq!(
            answer.missing.iter().map(|missing| &missing.name).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        assert_eq!(answer.fresh_host_count, 45);
        assert!(took <= DEFAULT_HOST_DEADLINE + SOON, "{took:?}");
    });
}

#[test]
fn every_host_hangs_and_the_answer_still_comes() {
    live(SEEDS[0], 100, undisturbed, async |world: World| {
        (0..100).for_each(|host| hold(COORDINATOR, name(host)));
        let (answer, took) = world.flags().await;
        assert_eq!(answer.missing.len(), 100);
        // Two rounds of 64 places, a quarter of a second each, then one deadline: not two deadlines.
        assert!(took < DEFAULT_HOST_DEADLINE + Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn the_network_parts_and_heals() {
    days(HOSTS, async |world: World| {
        assert!(world.flags().await.0.complete);
        world.clock.set_by(2 * DAY);
        (10..HOSTS).for_each(|host| partition(COORDINATOR, name(host)));
        let (answer, _) = world.flags().await;
        assert_eq!((answer.missing.len(), answer.host_count, answer.fresh_host_count), (0, 20, 10));
        assert!(!answer.complete, "ten answer from their last records, and it says so");
        (10..HOSTS).for_each(|host| repair(COORDINATOR, name(host)));
        sleep(DEFAULT_FAILURE_TTL).await;
        let (answer, _) = world.flags().await;
        assert!(answer.complete);
        assert_eq!(answer.fresh_host_count, 20);
    });
}

#[test]
fn an_agent_is_restarted_while_it_is_asked() {
    for seed in SEEDS {
        let bounce = |sim: &mut Sim<'_>| {
            // Until the coordinator's call has reached it.
            while sim.elapsed() < Duration::from_millis(20) {
                sim.step().expect("the day goes on");
            }
            sim.crash(name(4));
            while sim.elapsed() < Duration::from_millis(60) {
                sim.step().expect("the day goes on");
            }
            sim.bounce(name(4));
        };
        live(seed, HOSTS, bounce, async |world: World| {
            world.agents[4].act(Act::Hang);
            let agent = world.agents[4].clone();
            let heals = async move {
                sleep(Duration::from_millis(30)).await;
                agent.act(Act::Answer);
            };
            let ((answer, took), ()) = futures::join!(world.flags(), heals);
            assert!(answer.complete, "the next attempt reaches it: {:?}", answer.missing);
            assert!(took < SOON * 2, "{took:?}");
        });
    }
}

#[test]
fn an_agent_says_that_it_is_unavailable_for_a_moment() {
    days(HOSTS, async |world: World| {
        world.agents[4].act(Act::Fail(Code::Unavailable));
        let agent = world.agents[4].clone();
        let heals = async move {
            sleep(Duration::from_millis(60)).await;
            agent.act(Act::Answer);
        };
        let ((answer, _), ()) = futures::join!(world.flags(), heals);
        assert!(answer.complete, "{:?}", answer.missing);
        assert!((2..=3).contains(&world.agents[4].calls()));

        world.agents[5].act(Act::Fail(Code::Internal));
        world.refreshed().await;
        assert_eq!(world.agents[5].calls(), 2, "only the unavailable are asked again");
    });
}

#[test]
fn a_host_that_stays_down_is_left_alone_for_longer_each_time() {
    days(2, async |world: World| {
        world.agents[1].act(Act::Fail(Code::Internal));
        let mut asked_after = Vec::new();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(200) {
            let before = world.agents[1].calls();
            world.flags().await;
            if world.agents[1].calls() > before {
                asked_after.push(start.elapsed().as_secs());
            }
            sleep(Duration::from_secs(1)).await;
        }
        let pauses: Vec<_> = asked_after.windows(2).map(|two| two[1] - two[0]).collect();
        let expected = [5, 10, 20, 40, 40, 40];
        assert!(
            pauses.iter().zip(expected).all(|(pause, expected)| pause.abs_diff(expected) <= 1),
            "{pauses:?}"
        );
        assert_eq!(world.agents[0].calls(), 1);

        world.agents[1].act(Act::Answer);
        assert!(world.refreshed().await.0.complete, "a refresh asks in spite of it");
        world.agents[1].act(Act::Fail(Code::Internal));
        world.refreshed().await;
        let calls = world.agents[1].calls();
        sleep(Duration::from_secs(6)).await;
        world.agents[1].act(Act::Answer);
        world.ask(Some(Duration::from_secs(1)), PATIENCE).await;
        assert_eq!(world.agents[1].calls(), calls + 1, "one answer forgets all failures");
    });
}

#[test]
fn a_hundred_callers_at_once_ask_each_host_once() {
    days(50, async |world: World| {
        hold(COORDINATOR, name(7));
        let answers = join_all((0..100).map(|_| world.flags())).await;
        for (answer, took) in answers {
            assert_eq!(answer.missing.len(), 1);
            assert!(took <= DEFAULT_HOST_DEADLINE + SOON, "{took:?}");
        }
        let calls = world.calls();
        assert!(calls.iter().enumerate().all(|(host, calls)| *calls == u64::from(host != 7)), "{calls:?}");
    });
}

#[test]
fn a_caller_in_a_hurry_gets_what_is_known_and_the_rest_is_kept_for_the_next() {
    days(HOSTS, async |world: World| {
        hold(COORDINATOR, name(1));
        let (answer, took) = world.ask(None, Duration::from_secs(1)).await;
        assert!(took <= Duration::from_millis(1050), "{took:?}");
        assert_eq!((answer.missing.len(), answer.fresh_host_count), (1, 19));
        release(COORDINATOR, name(1));
        sleep(Duration::from_secs(1)).await;
        let (answer, _) = world.flags().await;
        assert!(answer.complete, "the flight went on and filled the cache: {:?}", answer.missing);
        assert_eq!(world.calls(), [1; HOSTS]);
    });
}

#[test]
fn the_clock_goes_back() {
    days(HOSTS, async |world: World| {
        assert!(world.flags().await.0.complete);
        world.clock.set_by(-200);
        assert!(world.flags().await.0.complete);
        assert_eq!(world.calls(), [1; HOSTS], "a little is tolerated");
        world.clock.set_by(-3600);
        assert!(world.flags().await.0.complete);
        assert_eq!(world.calls(), [2; HOSTS], "what an hour ahead has validated is not trusted");
        partition(COORDINATOR, name(0));
        world.refreshed().await;
        repair(COORDINATOR, name(0));
        world.clock.set_by(-1);
        world.clock.set_by(-3600);
        assert!(world.flags().await.0.complete, "nor is a failure of the future");
    });
}

#[test]
fn the_clock_goes_two_days_ahead() {
    days(HOSTS, async |world: World| {
        assert!(world.flags().await.0.complete);
        world.agents[2].reboot();
        world.clock.set_by(2 * DAY);
        assert!(world.flags().await.0.complete);
        assert_eq!(world.calls(), [2; HOSTS], "everything is too old, and asked once");
    });
}

#[test]
fn an_address_leads_to_another_machine() {
    for seed in SEEDS {
        live(seed, 3, undisturbed, async |world: World| {
            assert!(world.flags().await.0.complete);
            // The same machine under a name that is not its own.
            let entries = [(0, 0), (1, 2), (2, 1)].map(|(host, leads_to)| {
                let address = format!("{}:{}", name(leads_to), crate::network::PORT).parse().ok();
                let origin = Some(vmuster_proto::model::HostOrigin::File);
                vmuster_coordinator::hosts::HostEntry {
                    origin,
                    ..vmuster_coordinator::hosts::HostEntry::new(name(host), address)
                }
            });
            let registry = vmuster_coordinator::hosts::Registry::new(entries).expect("distinct");
            world.cluster.set_registry(registry).await;
            let expected = [1, 2].map(|host| (name(host), ProblemKind::WrongIdentity));
            assert_eq!(missing(&world).await, expected);
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let day = async |world: World| {
        for host in (0..HOSTS).step_by(3) {
            partition(COORDINATOR, name(host));
        }
        hold(COORDINATOR, name(1));
        world.flags().await;
        (0..HOSTS).for_each(|host| repair(COORDINATOR, name(host)));
        sleep(DEFAULT_FAILURE_TTL).await;
        world.flags().await;
    };
    let of_seed = |seed| live(seed, HOSTS, undisturbed, day);
    assert_eq!(of_seed(7), of_seed(7));
    assert!(of_seed(7).lines().count() == 2);
}
