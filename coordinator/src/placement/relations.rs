//! Who must, or should, be together or apart: members of affinity groups, and where they are.
//!
//! Knows rules, members and the domains they are in: a host, or a value of a label. Must not know room or scores.
//!
//! A domain that is not known, because the host lacks the label, is never taken for one that suits: a rule that must hold
//! refuses it, one that should hold counts it as broken.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    columns::Columns,
    request::{AffinityPolicy, AffinityRule, Batch, Member},
};

/// The domain of a host without the label.
const NO_DOMAIN: u32 = u32::MAX;

/// Members of one domain, by partition.
type Partitions = BTreeMap<Option<Arc<str>>, u32>;

/// Members of one group, by domains of one sort.
#[derive(Debug)]
struct Tracker {
    /// Of each host.
    domains: Arc<Vec<u32>>,
    members: HashMap<u32, Partitions>,
    /// Hosts of each domain, where a domain is more than one host.
    hosts: Arc<Vec<Vec<usize>>>,
    /// Members in domains that are known, by partition.
    partitions: Partitions,
    /// Of all domains, and of none: on a host that left, or lacks the label.
    count: u32,
}

impl Tracker {
    fn join(&mut self, host: Option<usize>, partition: Option<&Arc<str>>) {
        self.count += 1;
        let domain = host.map_or(NO_DOMAIN, |host| self.domains[host]);
        if domain != NO_DOMAIN {
            *self.members.entry(domain).or_default().entry(partition.cloned()).or_default() += 1;
            *self.partitions.entry(partition.cloned()).or_default() += 1;
        }
    }

    /// Members in the host's domain that one of this partition must not meet.
    fn others(&self, host: usize, partition: Option<&Arc<str>>) -> u32 {
        let there = self.members.get(&self.domains[host]);
        let other = |of: &Option<Arc<str>>| partition.is_none() || of.as_ref() != partition;
        let there = there.into_iter().flatten().filter(|(of, _)| other(of));
        there.map(|(_, count)| *count).fold(0, u32::saturating_add)
    }

    fn is_together(&self, host: usize) -> bool {
        self.members.contains_key(&self.domains[host])
    }

    /// All hosts of domains whose members are such, by index.
    fn hosts_with(&self, are_such: impl Fn(&Partitions) -> bool) -> Vec<usize> {
        let domains = self.members.iter().filter(|(_, members)| are_such(members)).map(|(domain, _)| *domain);
        let mut hosts: Vec<usize> = domains.flat_map(|domain| self.hosts_of(domain)).collect();
        hosts.sort_unstable();
        hosts
    }

    fn hosts_of(&self, domain: u32) -> Vec<usize> {
        // Without a label a domain is a host.
        let domain = domain as usize;
        self.hosts.get(domain).cloned().unwrap_or_else(|| vec![domain])
    }
}

/// How badly a partition's further domain counts: worse than all members that are in the way of soft rules.
pub(super) const OPENS: u32 = 1 << 20;

/// What a rule says of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing against it.
    Holds,
    /// The host lacks the label.
    NoDomain,
    /// Members are elsewhere.
    Elsewhere,
    /// So many others are there.
    Crowded(u32),
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Relations {
    trackers: Vec<Tracker>,
    /// By rule of each group of the batch: its tracker.
    rules: Vec<Vec<usize>>,
    by_group: HashMap<Arc<str>, Vec<usize>>,
}

impl Relations {
    /// Of all rules of a batch, with the members that are somewhere already.
    pub(super) fn new(batch: &Batch, columns: &Columns) -> Self {
        let mut relations = Self::default();
        let mut sorts: HashMap<Option<&Arc<str>>, Sort> = HashMap::new();
        let mut places: HashMap<(&Arc<str>, Option<&Arc<str>>), usize> = HashMap::new();
        for group in &batch.groups {
            let mut rules = Vec::with_capacity(group.rules.len());
            for rule in &group.rules {
                let key = rule.topology_key.as_ref();
                let place = *places.entry((&rule.group, key)).or_insert_with(|| {
                    let (domains, hosts) = sorts.entry(key).or_insert_with(|| sort(key, columns));
                    let of_group = relations.by_group.entry(Arc::clone(&rule.group)).or_default();
                    of_group.push(relations.trackers.len());
                    relations.trackers.push(Tracker {
                        domains: Arc::clone(domains),
                        hosts: Arc::clone(hosts),
                        members: HashMap::new(),
                        partitions: Partitions::new(),
                        count: 0,
                    });
                    relations.trackers.len() - 1
                });
                rules.push(place);
            }
            relations.rules.push(rules);
        }
        for Member { group, partition, host } in &batch.members {
            relations.join_group(group, partition.as_ref(), columns.index_of(host));
        }
        relations
    }

    fn join_group(&mut self, group: &Arc<str>, partition: Option<&Arc<str>>, host: Option<usize>) {
        for place in self.by_group.get(group).into_iter().flatten() {
            self.trackers[*place].join(host, partition);
        }
    }

    /// An instance with these rules is on this host now.
    pub(super) fn join(&mut self, rules: &[AffinityRule], host: usize) {
        for (place, rule) in rules.iter().enumerate() {
            // Two rules of one group are one membership.
            if rules[..place].iter().all(|before| before.group != rule.group) {
                self.join_group(&rule.group, rule.partition.as_ref(), Some(host));
            }
        }
    }

    /// What a rule of a group of the batch says of a host for one more instance.
    pub(super) fn verdict(&self, group: usize, place: usize, rule: &AffinityRule, host: usize) -> Verdict {
        let tracker = &self.trackers[self.rules[group][place]];
        if tracker.domains[host] == NO_DOMAIN {
            return Verdict::NoDomain;
        }
        if rule.policy.is_together() {
            let is_first = tracker.count == 0;
            return if is_first || tracker.is_together(host) { Verdict::Holds } else { Verdict::Elsewhere };
        }
        match tracker.others(host, rule.partition.as_ref()) {
            0 => Verdict::Holds,
            others => Verdict::Crowded(others),
        }
    }

    /// Whether a partition would spread to one more domain: the others would soon find none that is free.
    fn opens_a_domain(&self, group: usize, place: usize, rule: &AffinityRule, host: usize) -> bool {
        let tracker = &self.trackers[self.rules[group][place]];
        let is_ours = |partitions: &Partitions| partitions.contains_key(&rule.partition);
        rule.keeps_partitions_close()
            && is_ours(&tracker.partitions)
            && !tracker.members.get(&tracker.domains[host]).is_some_and(is_ours)
    }

    /// None: a rule that must hold does not. Else how badly those are broken that should.
    pub(super) fn violations(&self, group: usize, rules: &[AffinityRule], host: usize) -> Option<u32> {
        let mut sum: u32 = 0;
        for (place, rule) in rules.iter().enumerate() {
            let verdict = self.verdict(group, place, rule, host);
            if rule.policy.is_required() && verdict != Verdict::Holds {
                return None;
            }
            let broken = match verdict {
                Verdict::Holds => 0,
                Verdict::NoDomain | Verdict::Elsewhere => 1,
                Verdict::Crowded(others) => others,
            };
            if self.opens_a_domain(group, place, rule, host) {
                sum = sum.saturating_add(OPENS);
            }
            sum = sum.saturating_add(broken);
        }
        Some(sum)
    }

    /// The only hosts that a rule lets pass which binds to where members are; None: none binds, or one does to many.
    pub(super) fn bound_to(&self, group: usize, rules: &[AffinityRule]) -> Option<Vec<usize>> {
        /// Up to so many hosts are looked at one by one; of more the best is found as among all. Tests have few.
        const FEW: usize = if cfg!(test) { 2 } else { 64 };
        let binds = |(place, rule): &(usize, &AffinityRule)| {
            rule.policy == AffinityPolicy::Affinity && self.trackers[self.rules[group][*place]].count > 0
        };
        let (place, _) = rules.iter().enumerate().find(binds)?;
        let hosts = self.trackers[self.rules[group][place]].hosts_with(|_| true);
        Some(hosts).filter(|hosts| hosts.len() <= FEW)
    }

    /// The hosts where a rule is kept that should bring together, if one does; and whether it counts more than all others.
    pub(super) fn near(&self, group: usize, rules: &[AffinityRule]) -> Option<(Vec<usize>, bool)> {
        let tracker = |place: usize| &self.trackers[self.rules[group][place]];
        let close = rules.iter().enumerate().find(|(place, rule)| {
            rule.keeps_partitions_close() && tracker(*place).partitions.contains_key(&rule.partition)
        });
        if let Some((place, rule)) = close {
            let hosts = tracker(place).hosts_with(|members| members.contains_key(&rule.partition));
            return Some((hosts, true));
        }
        let soft = rules
            .iter()
            .enumerate()
            .find(|(place, rule)| rule.policy == AffinityPolicy::SoftAffinity && tracker(*place).count > 0);
        soft.map(|(place, _)| (tracker(place).hosts_with(|_| true), false))
    }

    /// Whether an instance with these rules would be the first of a group that must be on one host.
    pub(super) fn founds(&self, group: usize, rules: &[AffinityRule]) -> Option<Arc<str>> {
        let founds = |(place, rule): &(usize, &AffinityRule)| {
            rule.policy == AffinityPolicy::Affinity
                && rule.topology_key.is_none()
                && self.trackers[self.rules[group][*place]].count == 0
        };
        rules.iter().enumerate().find(founds).map(|(_, rule)| Arc::clone(&rule.group))
    }
}

/// The domain of each host, and the hosts of each domain where that is more than one.
type Sort = (Arc<Vec<u32>>, Arc<Vec<Vec<usize>>>);

/// By a label's values; without a key each host is its own domain.
fn sort(key: Option<&Arc<str>>, columns: &Columns) -> Sort {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let number = |host: usize| {
        let Some(key) = key else { return u32::try_from(host).unwrap_or(NO_DOMAIN) };
        let Some(value) = columns.host(host).labels.get(&**key) else { return NO_DOMAIN };
        let next = u32::try_from(numbers.len()).unwrap_or(NO_DOMAIN);
        *numbers.entry(value).or_insert(next)
    };
    let domains: Vec<u32> = (0..columns.len()).map(number).collect();
    let mut hosts = vec![Vec::new(); numbers.len()];
    for (host, domain) in domains.iter().enumerate() {
        if let Some(hosts) = hosts.get_mut(*domain as usize).filter(|_| key.is_some()) {
            hosts.push(host);
        }
    }
    (Arc::new(domains), Arc::new(hosts))
}
