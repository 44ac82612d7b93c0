//! What was placed, as claims that are asked for.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use vmuster_proto::model::{self, Bytes, Timestamp};

use super::asked::Asked;
use crate::{
    claims::{
        Claim, ClaimBook, ClaimedCell, ClaimedDisk, ClaimedPages, ClaimedResources, InstanceId, Membership,
        NewClaim,
    },
    placement::{self, AffinityRule, Decision, Demand, Group, numa},
};

/// What was placed, in the request's order: instance, its demand, where.
pub(super) fn placed<'d>(
    asked: &'d Asked<'_>,
    decision: &'d Decision,
) -> impl Iterator<Item = (InstanceId, &'d Demand, &'d placement::Placed)> {
    placed_in(asked, decision).map(|(instance, group, placed)| (instance, &*group.demand, placed))
}

/// The same with their groups.
fn placed_in<'d>(
    asked: &'d Asked<'_>,
    decision: &'d Decision,
) -> impl Iterator<Item = (InstanceId, &'d Group, &'d placement::Placed)> {
    let groups = asked.batch().groups.iter();
    let groups = groups.flat_map(|group| std::iter::repeat_n(group, group.count as usize));
    let all = asked.instances.iter().zip(groups).zip(&decision.placements);
    all.filter_map(|((instance, group), placed)| Some((*instance, group, placed.as_ref()?)))
}

/// Of an instance with these rules; one that moves stays in the groups it is in.
fn memberships<'c>(rules: &[AffinityRule], before: impl Iterator<Item = &'c Arc<Claim>>) -> Vec<Membership> {
    let membership = |rule: &AffinityRule| Membership {
        group: rule.group.to_string(),
        partition: rule.partition.as_ref().map(ToString::to_string),
    };
    let mut all: BTreeSet<Membership> = rules.iter().map(membership).collect();
    let named: BTreeSet<&str> = rules.iter().map(|rule| &*rule.group).collect();
    let kept = before.flat_map(|claim| &claim.groups);
    all.extend(kept.filter(|membership| !named.contains(membership.group.as_str())).cloned());
    all.into_iter().collect()
}

/// What it asks of them, as far as it is known.
fn kept_rules<'c>(
    rules: &[AffinityRule],
    before: impl Iterator<Item = &'c Arc<Claim>>,
) -> Vec<model::AffinityRule> {
    let said = |rule: &AffinityRule| model::AffinityRule {
        group: rule.group.to_string(),
        policy: rule.policy,
        topology_key: rule.topology_key.as_ref().map(ToString::to_string),
        partition: rule.partition.as_ref().map(ToString::to_string),
    };
    let mut all: Vec<_> = rules.iter().map(said).collect();
    let named: BTreeSet<&str> = rules.iter().map(|rule| &*rule.group).collect();
    for rule in before.flat_map(|claim| &claim.rules) {
        // Of two claims that it has while it moves each says the same.
        if !named.contains(rule.group.as_str()) && !all.contains(rule) {
            all.push(rule.clone());
        }
    }
    all
}

/// The claims of what was placed.
pub(super) fn new_claims(
    book: &ClaimBook,
    asked: &Asked<'_>,
    decision: &Decision,
    created_at: Timestamp,
    expires_at: Timestamp,
) -> Vec<NewClaim> {
    let mut signatures = HashMap::<*const Demand, String>::new();
    let claim = |(instance, group, placed): (InstanceId, &Group, &placement::Placed)| {
        let Group { demand, rules, .. } = group;
        let demand = &**demand;
        let signature = signatures.entry(std::ptr::from_ref(demand)).or_insert_with(|| signature(demand));
        let sizes = asked.disk_sizes(instance, demand);
        let disks = sizes.zip(&placed.disks).filter_map(|(size_bytes, pool)| {
            Some(ClaimedDisk { pool: pool.as_ref()?.as_str().to_owned(), size_bytes })
        });
        NewClaim {
            instance,
            host: placed.host.to_string(),
            resources: ClaimedResources {
                vcpus: u64::from(demand.floating_vcpus()),
                memory_bytes: Bytes(placed.ordinary_memory_bytes(demand)),
                disks: disks.collect(),
                cells: placed.cells.as_ref().map(|cells| claimed_cells(&cells.taken)).unwrap_or_default(),
            },
            purpose: asked.request.purpose,
            request_id: asked.request.request_id.clone(),
            signature: signature.clone(),
            groups: memberships(rules, book.of(instance)),
            rules: kept_rules(rules, book.of(instance)),
            over_committed: placed.is_over_committed,
            created_at,
            expires_at,
        }
    };
    placed_in(asked, decision).map(claim).collect()
}

fn claimed_cells(taken: &numa::Taken) -> Vec<ClaimedCell> {
    let cell = |cell: &numa::TakenOfCell| ClaimedCell {
        host_cell: cell.host_cell,
        pinned_cpus: cell.pinned.clone(),
        shared_vcpus: cell.shared_vcpus,
        memory_bytes: Bytes(cell.memory_bytes),
        pages: cell.hugepages.map(|(size_bytes, count)| ClaimedPages { size_bytes, count }),
    };
    taken.cells.iter().map(cell).collect()
}

/// Characters of a signature: enough to tell what one cluster asks for apart.
const SIGNATURE_LENGTH: usize = 16;

/// The same for the same demand, in whatever order its features came and whoever counts them.
pub(super) fn signature(demand: &Demand) -> String {
    let Demand { vcpus, memory, disks, required, forbidden, cpu_model, arch, labels, numa } = demand;
    let (required, forbidden) = (required.names(), forbidden.names());
    let text = format!(
        "{vcpus} {} {disks:?} {required:?} {forbidden:?} {cpu_model:?} {arch:?} {labels:?} {numa:?}",
        memory.0
    );
    digest(&text)
}

/// As long as a signature.
pub(super) fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut signature: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    signature.truncate(SIGNATURE_LENGTH);
    signature
}
