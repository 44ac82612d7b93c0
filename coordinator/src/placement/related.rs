//! Instances with rules: the best host of those that the rules allow.
//!
//! Knows the best host of a class, and what rules say of a host. Rules that must hold refuse; of the hosts they leave those
//! that break least of what should hold come first, and of these the best. Classes are shared with instances that have no
//! rules, so whom rules refuse is dismissed for a while only.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{
    batch::Run,
    classes::Current,
    columns::Columns,
    host::Resource,
    relations::{OPENS, Relations, Verdict},
    request::{AffinityPolicy, AffinityRule, Batch, Group, Question},
};

/// What the rules that must hold say of a host: why not, and whether that is for want of a label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostVerdict {
    pub(super) together: Option<(String, bool)>,
    pub(super) apart: Option<(String, bool)>,
}

/// Of hosts, by index, that rules refuse.
pub(super) type HostVerdicts = BTreeMap<usize, HostVerdict>;

/// What a whole group that must be on one host needs there.
#[derive(Debug, Clone, Copy, Default)]
struct Whole {
    vcpus: u64,
    memory_bytes: u64,
}

impl Whole {
    fn has_room(self, columns: &Columns, host: usize) -> bool {
        let has = |resource: Option<Resource>, asked: u64| {
            resource.is_some_and(|resource| asked <= resource.headroom())
        };
        has(columns.host(host).vcpus, self.vcpus) && has(columns.host(host).memory, self.memory_bytes)
    }
}

/// All rules of a batch, while it is decided.
#[derive(Debug)]
pub(super) struct Related {
    relations: Relations,
    /// Of groups that must be on one host.
    wholes: BTreeMap<Arc<str>, Whole>,
}

impl Related {
    /// None: there are no rules.
    pub(super) fn new(batch: &Batch, columns: &Columns) -> Option<Self> {
        if batch.groups.iter().all(|group| group.rules.is_empty()) {
            return None;
        }
        let mut wholes: BTreeMap<Arc<str>, Whole> = BTreeMap::new();
        for group in &batch.groups {
            let count = u64::from(group.count);
            let one_host =
                |rule: &&AffinityRule| rule.policy == AffinityPolicy::Affinity && rule.topology_key.is_none();
            for rule in group.rules.iter().filter(one_host) {
                let whole = wholes.entry(Arc::clone(&rule.group)).or_default();
                let vcpus = u64::from(group.demand.floating_vcpus()).saturating_mul(count);
                whole.vcpus = whole.vcpus.saturating_add(vcpus);
                let memory = group.demand.ordinary_memory_bytes().saturating_mul(count);
                whole.memory_bytes = whole.memory_bytes.saturating_add(memory);
            }
        }
        Some(Self { relations: Relations::new(batch, columns), wholes })
    }

    /// Of one further instance; it is the only group of its batch. None: there are no rules.
    pub(super) fn of(question: &Question, columns: &Columns) -> Option<Self> {
        let group = Group { rules: question.rules.clone(), ..Group::new(Arc::clone(&question.demand), 1) };
        let batch = Batch { members: question.members.clone(), ..Batch::new(vec![group]) };
        Self::new(&batch, columns)
    }

    /// An instance with these rules is on this host now.
    pub(super) fn join(&mut self, rules: &[AffinityRule], host: usize) {
        self.relations.join(rules, host);
    }

    /// How badly a host breaks what should hold; None: it may not be taken.
    pub(super) fn violations(
        &self,
        group: usize,
        rules: &[AffinityRule],
        columns: &Columns,
        host: usize,
    ) -> Option<u32> {
        let violations = self.relations.violations(group, rules, host)?;
        let founds = self.relations.founds(group, rules);
        let whole = founds.and_then(|founded| self.wholes.get(&founded));
        // The first of a group that must be on one host goes where the others can follow, if there is such a host.
        let is_short = whole.is_some_and(|whole| !whole.has_room(columns, host));
        Some(violations.saturating_add(u32::from(is_short)))
    }

    /// Of each host that they refuse, for one more instance of this group of the batch.
    pub(super) fn verdicts(&self, group: usize, rules: &[AffinityRule], columns: &Columns) -> HostVerdicts {
        (0..columns.len()).filter_map(|host| Some((host, self.verdict(group, rules, host)?))).collect()
    }

    /// Of one host; None: they do not refuse it.
    pub(super) fn verdict(&self, group: usize, rules: &[AffinityRule], host: usize) -> Option<HostVerdict> {
        let mut verdict = HostVerdict::default();
        let required = rules.iter().enumerate().filter(|(_, rule)| rule.policy.is_required());
        for (place, rule) in required {
            let side = if rule.policy.is_together() { &mut verdict.together } else { &mut verdict.apart };
            if side.is_none() {
                *side = text(self.relations.verdict(group, place, rule, host), rule);
            }
        }
        Some(verdict).filter(|verdict| *verdict != HostVerdict::default())
    }
}

fn text(verdict: Verdict, rule: &AffinityRule) -> Option<(String, bool)> {
    let (group, key) = (&rule.group, rule.topology_key.as_deref());
    let there = key.map_or_else(|| "it".to_owned(), |key| format!("its {key}"));
    Some(match verdict {
        Verdict::Holds => return None,
        Verdict::NoDomain => (format!("it has no label '{}'", key.unwrap_or_default()), true),
        Verdict::Elsewhere => (format!("the members of group '{group}' are not on {there}"), false),
        Verdict::Crowded(1) => (format!("a member of group '{group}' is on {there}"), false),
        Verdict::Crowded(others) => (format!("{others} members of group '{group}' are on {there}"), false),
    })
}

impl Run<'_> {
    /// How many of so many of a group with rules; the first that finds no host is the last.
    pub(super) fn place_related(&mut self, related: &mut Related, number: usize) -> usize {
        let batch = self.batch;
        let group = &batch.groups[number];
        if group.count == 0 {
            return 0;
        }
        let place = self.class_place(&group.demand);
        let mut dismissed = Vec::new();
        // Below it no host is any more: members only become more.
        let mut least = 0;
        let is_monotone = group
            .rules
            .iter()
            .all(|rule| rule.policy != AffinityPolicy::SoftAffinity && !rule.keeps_partitions_close());
        let mut placed = 0;
        while placed < group.count as usize {
            let Some((host, score, violations)) =
                self.best_related(related, number, place, least, &mut dismissed)
            else {
                break;
            };
            least = if is_monotone { violations } else { 0 };
            self.take_at(&group.demand, place, host, score);
            related.join(&group.rules, host);
            placed += 1;
        }
        let mut class = self.classes.current(place, self.columns);
        dismissed.into_iter().for_each(|host| class.readmit(host));
        placed
    }

    fn best_related(
        &mut self,
        related: &Related,
        number: usize,
        place: usize,
        least: u32,
        dismissed: &mut Vec<usize>,
    ) -> Option<Ranked> {
        let rules = &self.batch.groups[number].rules;
        let columns = &*self.columns;
        let mut class = self.classes.current(place, columns);
        let violations = |host| related.violations(number, rules, columns, host);
        let best_of = |class: &Current<'_>, hosts: Vec<usize>| {
            let ranked = hosts.into_iter();
            let ranked = ranked.filter_map(|host| Some((host, class.score_of(host)?, violations(host)?)));
            ranked.min_by(rank)
        };
        if let Some(hosts) = related.relations.bound_to(number, rules) {
            return best_of(&class, hosts);
        }
        let mut least = least;
        if let Some((hosts, is_first)) = related.relations.near(number, rules) {
            // All others break at least that rule.
            least = if is_first { OPENS } else { 1 };
            let near = best_of(&class, hosts);
            if near.is_some_and(|(_, _, broken)| broken < least) {
                return near;
            }
        }
        let mut best: Option<Ranked> = None;
        let mut passed = Vec::new();
        while let Some((host, score)) = class.best() {
            class.dismiss(host);
            // What must hold and does not will not hold later: members only become more.
            let Some(broken) = violations(host) else {
                dismissed.push(host);
                continue;
            };
            passed.push(host);
            let this = (host, score, broken);
            if best.is_none_or(|best| rank(&this, &best).is_lt()) {
                best = Some(this);
            }
            if broken <= least {
                break;
            }
        }
        passed.into_iter().for_each(|host| class.readmit(host));
        best
    }
}

/// A host, its score, and how badly it breaks what should hold.
type Ranked = (usize, f64, u32);

/// Which of two is better: less.
fn rank(a: &Ranked, b: &Ranked) -> Ordering {
    a.2.cmp(&b.2).then(b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal))
}
