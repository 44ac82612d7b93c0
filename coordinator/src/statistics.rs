//! What a coordinator counts, as Prometheus metrics.
//!
//! Knows names, units and labels; docs/metrics.md has the same. Must not know when something happens: whoever does it
//! counts it here.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use vmuster_proto::model::ProblemKind;

use crate::cache::Outcome;

/// From an agent that answers from memory to one that uses up a host's deadline.
const FETCH_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From an answer out of memory to a refresh of all hosts.
const CALL_SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabel {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone)]
struct CallBuckets;

impl MetricConstructor<Histogram> for CallBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(CALL_SECONDS)
    }
}

#[derive(Debug, Clone)]
struct FetchBuckets;

impl MetricConstructor<Histogram> for FetchBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(FETCH_SECONDS)
    }
}

/// What is done with an entry on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOperation {
    /// The directory made ready.
    Open,
    /// Read.
    Load,
    /// Written.
    Save,
    /// Removed, its host has left.
    Remove,
}

impl StoreOperation {
    fn label(self) -> OperationLabel {
        let operation = match self {
            Self::Open => "open",
            Self::Load => "load",
            Self::Save => "save",
            Self::Remove => "remove",
        };
        OperationLabel { operation }
    }
}

/// Whether instances are promised their places, or only shown them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceMode {
    /// Shown.
    DryRun,
    /// Promised.
    Claim,
}

impl PlaceMode {
    fn label(self) -> ModeLabel {
        let mode = match self {
            Self::DryRun => "dry_run",
            Self::Claim => "claim",
        };
        ModeLabel { mode }
    }
}

/// Counters of one coordinator.
#[derive(Debug)]
pub struct Statistics {
    reads: Family<OutcomeLabel, Counter>,
    stale_served: Counter,
    missing: Counter,
    set_aside: Counter,
    store_errors: Family<OperationLabel, Counter>,
    store_writable: Gauge,
    fetch_seconds: Family<OutcomeLabel, Histogram, FetchBuckets>,
    fetch_failures: Family<KindLabel, Counter>,
    fetch_retries: Counter,
    fetches_in_flight: Gauge,
    fetches_waiting: Gauge,
    fetch_limit: Gauge,
    instances_placed: Family<ModeLabel, Counter>,
    instances_refused: Family<ModeLabel, Counter>,
    placement_hints: Family<ResultLabel, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<MethodLabel, Histogram, CallBuckets>,
}

impl Default for Statistics {
    fn default() -> Self {
        let store_writable = Gauge::default();
        store_writable.set(1);
        Self {
            reads: Family::default(),
            stale_served: Counter::default(),
            missing: Counter::default(),
            set_aside: Counter::default(),
            store_errors: Family::default(),
            store_writable,
            fetch_seconds: Family::new_with_constructor(FetchBuckets),
            fetch_failures: Family::default(),
            fetch_retries: Counter::default(),
            fetches_in_flight: Gauge::default(),
            fetches_waiting: Gauge::default(),
            fetch_limit: Gauge::default(),
            instances_placed: Family::default(),
            instances_refused: Family::default(),
            placement_hints: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(CallBuckets),
        }
    }
}

impl Statistics {
    /// So many hosts were read for a question with this outcome.
    pub fn read(&self, outcome: Outcome, hosts: usize) {
        let outcome = match outcome {
            Outcome::StillFresh => "still_fresh",
            Outcome::Fetched => "fetched",
            Outcome::Unchanged => "unchanged",
            Outcome::Failed => "failed",
        };
        self.reads.get_or_create(&OutcomeLabel { outcome }).inc_by(hosts as u64);
    }

    /// A host that could not be asked was answered for from its last known record, or not at all.
    pub fn unasked(&self, has_record: bool) {
        if has_record { &self.stale_served } else { &self.missing }.inc();
    }

    /// An entry was moved out of the way.
    pub fn set_aside(&self) {
        self.set_aside.inc();
    }

    /// The store did as it was told.
    pub fn store_worked(&self, operation: StoreOperation) {
        if operation == StoreOperation::Save {
            self.store_writable.set(1);
        }
    }

    /// The store did not.
    pub fn store_failed(&self, operation: StoreOperation) {
        self.store_errors.get_or_create(&operation.label()).inc();
        if matches!(operation, StoreOperation::Open | StoreOperation::Save) {
            self.store_writable.set(0);
        }
    }

    /// A fetch ended well.
    pub fn fetched(&self, took: Duration) {
        let outcome = "ok";
        self.fetch_seconds.get_or_create(&OutcomeLabel { outcome }).observe(took.as_secs_f64());
    }

    /// A fetch failed for good.
    pub fn fetch_failed(&self, kind: ProblemKind, took: Duration) {
        let outcome = "failed";
        self.fetch_seconds.get_or_create(&OutcomeLabel { outcome }).observe(took.as_secs_f64());
        self.fetch_failures.get_or_create(&KindLabel { kind: kind.to_string() }).inc();
    }

    /// A fetch is tried again.
    pub fn fetch_retried(&self) {
        self.fetch_retries.inc();
    }

    /// Fetches under way and waiting for their turn, and how many may be under way.
    pub fn fetching(&self, in_flight: usize, waiting: usize, limit: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.fetches_in_flight.set(number(in_flight));
        self.fetches_waiting.set(number(waiting));
        self.fetch_limit.set(number(limit));
    }

    /// So many instances found a host, and so many did not.
    pub fn placed(&self, mode: PlaceMode, placed: usize, refused: usize) {
        for (family, count) in [(&self.instances_placed, placed), (&self.instances_refused, refused)] {
            if count > 0 {
                family.get_or_create(&mode.label()).inc_by(count as u64);
            }
        }
    }

    /// So many nominated hosts were handed back and taken, and so many did not hold any more.
    pub fn hinted(&self, used: usize, stale: usize) {
        for (result, count) in [("used", used), ("stale", stale)] {
            if count > 0 {
                self.placement_hints.get_or_create(&ResultLabel { result }).inc_by(count as u64);
            }
        }
    }

    /// A gRPC call ended. Names come from sets that are known: each makes a series for ever.
    pub fn called(&self, method: &'static str, code: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabels { method, code }).inc();
        self.call_seconds.get_or_create(&MethodLabel { method }).observe(took.as_secs_f64());
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("grpc_calls", "gRPC calls that ended", self.calls.clone());
        let duration = "Time of a gRPC call to its last byte";
        registry.register_with_unit("grpc_call_duration", duration, Unit::Seconds, self.call_seconds.clone());
        registry.register("instances_placed", "Instances that found a host", self.instances_placed.clone());
        registry.register(
            "instances_refused",
            "Instances that found none, or not with the others",
            self.instances_refused.clone(),
        );
        registry.register(
            "placement_hints",
            "Nominated hosts that were handed back",
            self.placement_hints.clone(),
        );
        registry.register("cache_reads", "Hosts read for a question", self.reads.clone());
        registry.register(
            "cache_stale_served",
            "Hosts answered for from an old record",
            self.stale_served.clone(),
        );
        registry.register("cache_missing", "Hosts nothing could be said of", self.missing.clone());
        registry.register("cache_set_aside", "Entries that could not be trusted", self.set_aside.clone());
        registry.register("cache_store_errors", "Failures of the cache's disk", self.store_errors.clone());
        registry.register("cache_writable", "1 unless the last write failed", self.store_writable.clone());
        let duration = "Time of a fetch with its retries";
        registry.register_with_unit("fetch_duration", duration, Unit::Seconds, self.fetch_seconds.clone());
        registry.register("fetch_failures", "Fetches that failed for good", self.fetch_failures.clone());
        registry.register("fetch_retries", "Fetches that were tried again", self.fetch_retries.clone());
        registry.register("fetches_in_flight", "Fetches under way", self.fetches_in_flight.clone());
        registry.register(
            "fetches_waiting",
            "Fetches that wait for their turn",
            self.fetches_waiting.clone(),
        );
        registry.register(
            "fetch_concurrency_limit",
            "Fetches that may be under way",
            self.fetch_limit.clone(),
        );
    }

    /// All of them in OpenMetrics text.
    ///
    /// # Errors
    /// Never with these metrics; formatting into a string is fallible by its signature.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("vmuster");
        self.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
