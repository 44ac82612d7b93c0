//! A tenth of the hosts in trouble, and each time another one.

use std::{sync::Arc, time::Duration};

use tokio::time::interval;
use tonic::Code;

use super::HOSTS;
use crate::fleet::{Fleet, Manner};

/// One of so many is in trouble.
pub(super) const PARTS: usize = 10;

/// Kinds of failures that must have been seen at the end: no connection, timeout, unavailable or denied, malformed,
/// wrong identity. Which troubles are one kind is the coordinator's business, so this is the least.
pub(super) const KINDS_MIN: usize = 4;

/// Slow, but in time.
const SLOW: Duration = Duration::from_millis(300);

/// By turns in the tenth.
const MANNERS: [Manner; 10] = [
    Manner::Gone,
    Manner::Hangs,
    Manner::Silent,
    Manner::Fails(Code::Unavailable),
    Manner::Fails(Code::PermissionDenied),
    Manner::Malformed,
    Manner::LiesAs(0),
    Manner::Stalls,
    Manner::Oversize,
    // This one is slow, and has rebooted.
    Manner::Answers,
];

/// Never ends.
pub(super) async fn go_round(fleet: Arc<Fleet>, turn: Duration) {
    let mut turns = interval(turn);
    for part in (0..PARTS).cycle() {
        turns.tick().await;
        for host in 0..HOSTS {
            if host % PARTS == part {
                let manner = MANNERS[host / PARTS % MANNERS.len()];
                if manner == Manner::Answers {
                    fleet.reboot(host);
                    fleet.set_latency(host, SLOW);
                }
                fleet.set(host, manner).await;
            } else if host % PARTS == (part + PARTS - 1) % PARTS {
                fleet.set_latency(host, Duration::ZERO);
                fleet.set(host, Manner::Answers).await;
            }
        }
    }
}
