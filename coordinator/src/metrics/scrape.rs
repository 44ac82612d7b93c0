//! One scrape: what was counted, and what is looked up now.

use std::sync::Arc;

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use vmuster_proto::{clock::SharedClock, model::Timestamp};

use super::{process, text::sorted};
use crate::{cluster::Cluster, scheduler::Scheduler, statistics::Statistics};

/// Before all our names.
const PREFIX: &str = "vmuster";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FreshnessLabel {
    freshness: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

/// Puts together what a scrape gets.
#[derive(Debug)]
pub struct Scraper {
    statistics: Arc<Statistics>,
    cluster: Arc<Cluster>,
    scheduler: Arc<Scheduler>,
    started_at: Timestamp,
}

impl Scraper {
    /// Of this cluster and its placement, which count there.
    #[must_use]
    pub fn new(
        statistics: Arc<Statistics>,
        cluster: Arc<Cluster>,
        scheduler: Arc<Scheduler>,
        clock: &SharedClock,
    ) -> Self {
        Self { statistics, cluster, scheduler, started_at: clock.now() }
    }

    /// Everything, in OpenMetrics text.
    ///
    /// # Errors
    /// Never with these metrics; formatting into a string is fallible by its signature.
    pub fn open_metrics(&self) -> Result<String, std::fmt::Error> {
        let mut ours = Registry::with_prefix(PREFIX);
        self.statistics.register(&mut ours);
        self.register_hosts(&mut ours);
        self.register_claims(&mut ours);
        let version = env!("CARGO_PKG_VERSION");
        let build = Family::<VersionLabel, Gauge>::default();
        build.get_or_create(&VersionLabel { version }).set(1);
        ours.register("build_info", "Always 1; the label is the version", build);
        let mut standard = Registry::default();
        process::register(&mut standard, self.started_at);
        let mut text = String::new();
        encode_registry(&mut text, &ours)?;
        encode_registry(&mut text, &standard)?;
        encode_eof(&mut text)?;
        Ok(sorted(&text))
    }

    fn register_claims(&self, registry: &mut Registry) {
        let (counts, undone) = self.scheduler.claim_counts();
        let claims = Family::<StateLabel, Gauge>::default();
        let by_state =
            [("held", counts.held), ("confirmed", counts.confirmed), ("observed", counts.observed)];
        for (state, count) in by_state {
            claims.get_or_create(&StateLabel { state }).set(number(count));
        }
        registry.register("claims", "Claims in each state", claims);
        let help = "Changes of claims that the disk did not keep";
        registry.register("claim_commit_failures", help, ConstCounter::new(undone));
    }

    fn register_hosts(&self, registry: &mut Registry) {
        let counts = self.cluster.counts();
        registry.register("hosts", "Registered hosts", ConstGauge::new(number(counts.registered)));
        let known = Family::<FreshnessLabel, Gauge>::default();
        for (freshness, count) in
            [("fresh", counts.fresh), ("stale", counts.stale), ("missing", counts.missing)]
        {
            known.get_or_create(&FreshnessLabel { freshness }).set(number(count));
        }
        let help = "Registered hosts by what memory has of them at the TTL; nobody is asked for this";
        registry.register("hosts_known", help, known);
        let failing = ConstGauge::new(number(counts.failing));
        registry.register("hosts_failing", "Hosts whose last fetch failed", failing);
        let barred = ConstGauge::new(number(counts.barred));
        registry.register("hosts_barred", "Hosts that are not asked now because they failed", barred);
        if let Some(age) = counts.oldest_age {
            let help = "Time since the longest unheard host was heard, of those with a record";
            let age = ConstGauge::new(age.as_secs_f64());
            registry.register_with_unit("oldest_record_age", help, Unit::Seconds, age);
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
