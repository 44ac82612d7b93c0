//! Guests and claims, by host or by instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::Instant;
use vmuster_proto::model::{Bytes, Domain, Instance, InstancesAnswer};

use super::{PlaceError, Scheduler, claims::report, known::Known};
use crate::{
    claims::{Claim, ClaimBook, InstanceId},
    hosts::Scope,
};

/// Whose instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Of a registered host.
    Host(String),
    /// All places of this one.
    Instance(InstanceId),
}

impl Scheduler {
    /// Guests and claims; of a host that does not answer those that were there last.
    ///
    /// # Errors
    /// The host is not registered.
    pub async fn instances(
        self: &Arc<Self>,
        whose: &Whose,
        deadline: Instant,
    ) -> Result<InstancesAnswer, PlaceError> {
        let scope = match whose {
            Whose::Host(host) => Scope::of(host),
            Whose::Instance(_) => Scope::default(),
        };
        let registry = self.cluster.registry();
        let entries = scope.select(&registry)?;
        let spelled = scope.spelled(&registry);
        self.learn_unknown(&spelled, deadline).await;
        if let Whose::Host(_) = whose {
            // One host is asked each time: who looks at it wants to see it as it is.
            self.ask_all(entries.iter().map(|entry| entry.name.clone()).collect(), deadline).await;
        }
        let planner = self.planner();
        let mut answer = InstancesAnswer::default();
        self.with_book(|book| {
            for (name, known) in
                entries.iter().filter_map(|entry| Some((&entry.name, planner.host(&entry.name)?)))
            {
                let of_host = of_host(name, known, book);
                answer.instances.extend(of_host.into_iter().filter(|instance| match whose {
                    Whose::Host(_) => true,
                    Whose::Instance(wanted) => instance.uuid.parse() == Ok(*wanted),
                }));
            }
        });
        let doubtful: BTreeSet<&str> = planner.doubtful().collect();
        let told = entries.iter().filter(|entry| doubtful.contains(entry.name.as_str()));
        answer.hosts = told.filter_map(|entry| Some(planner.host(&entry.name)?.judged())).collect();
        Ok(answer)
    }
}

fn of_host(host: &str, known: &Known, book: &ClaimBook) -> Vec<Instance> {
    let mut all = BTreeMap::<String, (Option<&Domain>, Option<&Arc<Claim>>)>::new();
    for domain in known.last_usage().and_then(|usage| usage.domains.as_deref()).unwrap_or_default() {
        all.entry(domain.uuid.clone()).or_default().0 = Some(domain);
    }
    for claim in book.on(host) {
        all.entry(claim.instance.to_string()).or_default().1 = Some(claim);
    }
    let instance = |(uuid, (domain, claim)): (String, (Option<&Domain>, Option<&Arc<Claim>>))| {
        let claimed = claim.map(|claim| &claim.resources);
        let most = |domain: Option<Option<u64>>, claimed: Option<u64>| match (domain, claimed) {
            // Unknown, whatever the claim says: it may be more.
            (Some(None), _) => None,
            (Some(Some(domain)), claimed) => Some(domain.max(claimed.unwrap_or(0))),
            (None, claimed) => claimed,
        };
        Instance {
            uuid,
            host: host.to_owned(),
            vcpus: most(
                domain.map(|domain| domain.vcpus_max.map(u64::from)),
                claimed.map(|claimed| claimed.vcpus),
            ),
            memory_bytes: most(
                domain.map(|domain| domain.memory_max_bytes.map(|bytes| bytes.0)),
                claimed.map(|claimed| claimed.memory_bytes.0),
            )
            .map(Bytes),
            domain: domain.cloned(),
            claim: claim.map(|claim| report(claim)),
            usage_asked_at: known.usage.as_ref().map(|usage| usage.asked_at),
        }
    };
    all.into_iter().map(instance).collect()
}
