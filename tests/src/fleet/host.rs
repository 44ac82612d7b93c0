//! One simulated host: who it is, how it behaves, what it was asked and what it says.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::{
    Message as _,
    bytes::{Bytes, BytesMut},
};
use tonic::Code;
use vmuster_proto::model::Domain;
use vmuster_proto::pb::{self, get_inventory_response::Outcome, get_usage_response::Standing};

use super::Source;

/// How a host behaves until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As it should.
    #[default]
    Answers,
    /// Every call ends with this code.
    Fails(Code),
    /// Takes calls and never answers one.
    Hangs,
    /// Takes connections and never says a word on one.
    Silent,
    /// Nothing listens: connections are refused.
    Gone,
    /// Says that it is the host with this number: its name, its machine id, its facts.
    LiesAs(usize),
    /// Sends its whole message and then never ends the answer.
    Stalls,
    /// Answers with more than anybody takes.
    Oversize,
    /// Answers with bytes that are no message.
    Malformed,
}

/// What a host was asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Connections that were made to it.
    pub connections: u64,
    /// Calls of any kind, answered or not.
    pub calls: u64,
    /// GetInventory answered with a body.
    pub inventories: u64,
    /// GetInventory answered "unchanged".
    pub unchanged: u64,
    /// GetUsage answered.
    pub usages: u64,
}

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    latency: Duration,
    /// Reboots so far.
    reboots: u64,
    guests: Vec<Domain>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) calls: AtomicU64,
    inventories: AtomicU64,
    unchanged: AtomicU64,
    usages: AtomicU64,
}

/// Everything of one host but its listener.
#[derive(Debug)]
pub(super) struct SimulatedHost {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) source: Arc<Source>,
    pub(super) counters: Counters,
    /// Of the fleet's seed and the host's number: all that is its own follows from it.
    key: u64,
    state: Mutex<State>,
}

/// Two numbers that differ give two that look unrelated (SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl SimulatedHost {
    pub(super) fn new(name: String, address: SocketAddr, source: Arc<Source>, key: u64) -> Self {
        Self { name, address, source, key, counters: Counters::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn manner(&self) -> Manner {
        self.state().manner
    }

    pub(super) fn latency(&self) -> Duration {
        self.state().latency
    }

    pub(super) fn set_manner(&self, manner: Manner) {
        self.state().manner = manner;
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    pub(super) fn set_guests(&self, guests: Vec<Domain>) {
        self.state().guests = guests;
    }

    pub(super) fn reboot(&self) {
        self.state().reboots += 1;
    }

    pub(super) fn asked(&self) -> Asked {
        let Counters { connections, calls, inventories, unchanged, usages } = &self.counters;
        let [connections, calls, inventories, unchanged, usages] =
            [connections, calls, inventories, unchanged, usages].map(|count| count.load(Ordering::SeqCst));
        Asked { connections, calls, inventories, unchanged, usages }
    }

    /// 32 hexadecimal digits: the same for the same host and use.
    fn digits(&self, what_for: u64) -> String {
        let high = mix(self.key ^ mix(what_for));
        format!("{high:016x}{:016x}", mix(high))
    }

    fn uuid(&self, what_for: u64) -> String {
        let digits = self.digits(what_for);
        let [a, b, c, d] = [&digits[..8], &digits[8..12], &digits[13..16], &digits[17..20]];
        format!("{a}-{b}-4{c}-a{d}-{}", &digits[20..])
    }

    pub(super) fn machine_id(&self) -> String {
        self.digits(1)
    }

    /// Changes at each reboot, with the boot id.
    pub(super) fn fingerprint(&self) -> String {
        self.digits(1000 + self.state().reboots)
    }

    pub(super) fn boot_id(&self) -> String {
        self.uuid(2000 + self.state().reboots)
    }

    /// GetInventory's answer.
    pub(super) fn inventory(&self, request: &Bytes) -> Result<Bytes, prost::DecodeError> {
        let known = pb::GetInventoryRequest::decode(request.clone())?.known_fingerprint;
        let (name, fingerprint) = (self.name.clone(), self.fingerprint());
        if known == fingerprint {
            self.counters.unchanged.fetch_add(1, Ordering::SeqCst);
            let outcome = Some(Outcome::Unchanged(pb::UnchangedInventory { fingerprint }));
            return Ok(pb::GetInventoryResponse { name, outcome }.encode_to_vec().into());
        }
        self.counters.inventories.fetch_add(1, Ordering::SeqCst);
        let system = pb::System {
            hostname: Some(self.name.clone()),
            machine_id: Some(self.machine_id()),
            boot_id: Some(self.boot_id()),
            product_uuid: Some(self.uuid(2)),
            product_serial: Some(self.digits(3)[..10].to_uppercase()),
            ..Default::default()
        };
        // Firmware keeps a little more or less for itself on machines that are else alike.
        let total_bytes = Some(self.source.memory_bytes - ((self.key % 64) << 20));
        let own = pb::Inventory {
            fingerprint,
            system: Some(system),
            memory: Some(pb::Memory { total_bytes, ..Default::default() }),
            ..Default::default()
        };
        let collected = pb::CollectedInventory { inventory: Some(own), issues: Vec::new() };
        let own = pb::GetInventoryResponse { name, outcome: Some(Outcome::Collected(Box::new(collected))) };
        Ok(followed(&self.source.inventory, &own))
    }

    /// GetUsage's answer.
    pub(super) fn usage(&self) -> Bytes {
        self.counters.usages.fetch_add(1, Ordering::SeqCst);
        let standing = Some(Standing::InventoryFingerprint(self.fingerprint()));
        let domains: Vec<_> = self.state().guests.iter().map(Into::into).collect();
        let usage = (!domains.is_empty())
            .then(|| pb::Usage { domains: Some(pb::Domains { domains }), ..Default::default() });
        let own = pb::GetUsageResponse { name: self.name.clone(), standing, usage, ..Default::default() };
        followed(&self.source.usage, &own)
    }
}

fn followed(shared: &Bytes, own: &impl prost::Message) -> Bytes {
    let mut both = BytesMut::with_capacity(shared.len() + own.encoded_len());
    both.extend_from_slice(shared);
    own.encode(&mut both).expect("there is room");
    both.freeze()
}
