//! A steady, bounded load of questions, as scripts, dashboards and people ask them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::{Request, Status, transport::Channel};
use vmuster_proto::{
    pb::{self, cluster_service_client::ClusterServiceClient},
    transport::{CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, PeerAddress, connect},
};

use super::{HOSTS, VISITORS};
use crate::fleet::Fleet;

type Client = ClusterServiceClient<Channel>;

/// A question that is asked again and again.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Flags,
    /// On a connection of its own each time.
    FlagsAnew,
    List,
    Refresh,
    /// A host comes or goes.
    Visit,
    Show,
    GiveUp,
}

/// Four that ask for flags, and one of each other sort.
const ERRANDS: [Errand; 10] = [
    Errand::Flags,
    Errand::Flags,
    Errand::Flags,
    Errand::Flags,
    Errand::FlagsAnew,
    Errand::List,
    Errand::Refresh,
    Errand::Visit,
    Errand::Show,
    Errand::GiveUp,
];

/// Too short for a host that hangs.
const GIVE_UP_AFTER: Duration = Duration::from_millis(40);

/// A coordinator ends connections that are an hour old.
const ROUNDS_PER_CONNECTION: usize = 100;

/// So many refusals are kept; one is enough to fail.
const REFUSALS_KEPT: usize = 5;

/// What was asked.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: AtomicU64,
    refusals: Mutex<Vec<String>>,
}

impl Tally {
    fn note<T>(&self, what: &str, answer: Result<T, Status>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Some(answer)
            }
            Err(status) => {
                let mut kept = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < REFUSALS_KEPT {
                    kept.push(format!("{what}: {status}"));
                }
                None
            }
        }
    }

    /// Answers, and the first refusals.
    pub(super) fn told(&self) -> (u64, Vec<String>) {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.answers.load(Ordering::Relaxed), refusals)
    }
}

async fn client(address: &PeerAddress) -> Client {
    let channel = connect(address, CONNECT_DEADLINE).await.expect("it listens");
    ClusterServiceClient::new(channel).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES)
}

fn flags() -> pb::ComputeCommonCpuFlagsRequest {
    let layer = pb::CpuFeatureLayer::Host.into();
    pb::ComputeCommonCpuFlagsRequest { layer, ..Default::default() }
}

async fn ask_flags(client: &mut Client, tally: &Tally) {
    let answer = client.compute_common_cpu_flags(flags()).await;
    let Some(answer) = tally.note("flags", answer) else { return };
    let answer = answer.into_inner();
    let count = answer.host_count as usize + answer.missing.len();
    assert!((HOSTS..=HOSTS + VISITORS).contains(&count), "an answer about {count} hosts");
}

async fn list(client: &mut Client, tally: &Tally) {
    let mut page_token = String::new();
    loop {
        let request = pb::ListHostsRequest { page_token, ..Default::default() };
        let Some(page) = tally.note("list", client.list_hosts(request).await) else { return };
        page_token = page.into_inner().next_page_token;
        if page_token.is_empty() {
            return;
        }
    }
}

async fn refresh(client: &mut Client, tally: &Tally) {
    let stream = client.refresh_hosts(pb::RefreshHostsRequest::default()).await;
    let Some(stream) = tally.note("refresh", stream) else { return };
    let mut stream = stream.into_inner();
    while let Some(Some(_)) = tally.note("refresh", stream.message().await) {}
}

/// Hosts come and go by turns.
async fn visit(client: &mut Client, tally: &Tally, fleet: &Fleet, round: usize) {
    let host = HOSTS + round % VISITORS;
    let name = fleet.name(host).to_owned();
    if (round / VISITORS).is_multiple_of(2) {
        let request = pb::AddHostRequest { name, address: fleet.address(host), ..Default::default() };
        tally.note("add", client.add_host(request).await);
    } else {
        tally.note("remove", client.remove_host(pb::RemoveHostRequest { name, force: false }).await);
    }
}

async fn show(client: &mut Client, tally: &Tally, fleet: &Fleet, round: usize) {
    // A step that meets every host.
    let name = fleet.name(round * 7 % HOSTS).to_owned();
    let request = pb::GetHostRequest { name, include_usage: true, ..Default::default() };
    // What is in trouble and was never heard is refused, as it should be.
    let _ = client.get_host(request).await;
    tally.answers.fetch_add(1, Ordering::Relaxed);
}

/// By turns with a deadline and by going away.
async fn give_up(client: &mut Client, tally: &Tally, round: usize) {
    let mut request = Request::new(pb::ComputeCommonCpuFlagsRequest {
        // Asks everybody, so that there is something to give up.
        max_age: Some(prost_types::Duration::default()),
        ..flags()
    });
    if round.is_multiple_of(2) {
        request.set_timeout(GIVE_UP_AFTER);
    }
    // An answer in time is as good.
    let _ = timeout(GIVE_UP_AFTER, client.compute_common_cpu_flags(request)).await;
    tally.answers.fetch_add(1, Ordering::Relaxed);
}

impl Errand {
    /// At least, from one to the next; a question that takes longer than this puts off the next.
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Flags => 250,
            Self::FlagsAnew => 200,
            Self::Show | Self::GiveUp => 500,
            Self::List | Self::Visit => 2000,
            Self::Refresh => 10_000,
        })
    }

    async fn once(self, client: &mut Client, tally: &Tally, fleet: &Fleet, round: usize) {
        match self {
            Self::Flags | Self::FlagsAnew => ask_flags(client, tally).await,
            Self::List => list(client, tally).await,
            Self::Refresh => refresh(client, tally).await,
            Self::Visit => visit(client, tally, fleet, round).await,
            Self::Show => show(client, tally, fleet, round).await,
            Self::GiveUp => give_up(client, tally, round).await,
        }
    }

    /// Never ends.
    async fn again_and_again(self, address: PeerAddress, fleet: Arc<Fleet>, tally: Arc<Tally>) {
        let mut kept = client(&address).await;
        let mut times = interval(self.pause());
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = if matches!(self, Self::FlagsAnew) { 1 } else { ROUNDS_PER_CONNECTION };
        for round in 0_usize.. {
            times.tick().await;
            if round % rounds == rounds - 1 {
                kept = client(&address).await;
            }
            self.once(&mut kept, &tally, &fleet, round).await;
        }
    }
}

/// Until the tasks are aborted.
pub(super) fn ask_all_the_time(
    tasks: &mut JoinSet<()>,
    address: &PeerAddress,
    fleet: &Arc<Fleet>,
    tally: &Arc<Tally>,
) {
    for errand in ERRANDS {
        tasks.spawn(errand.again_and_again(address.clone(), Arc::clone(fleet), Arc::clone(tally)));
    }
}
