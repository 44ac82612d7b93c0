//! Rules of where instances may be beside others.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{DecodeError, list, text};
use crate::{
    model::{AffinityPolicy, AffinityRule},
    pb,
};

/// Host, rack and zone, each with a must and a should, leave two.
const RULES_MAX: usize = 8;

/// As long as a label's value elsewhere in the field: it stands in each claim.
const NAME_MAX_BYTES: usize = 63;

impl From<AffinityPolicy> for pb::AffinityPolicy {
    fn from(policy: AffinityPolicy) -> Self {
        match policy {
            AffinityPolicy::Affinity => Self::Affinity,
            AffinityPolicy::AntiAffinity => Self::AntiAffinity,
            AffinityPolicy::SoftAffinity => Self::SoftAffinity,
            AffinityPolicy::SoftAntiAffinity => Self::SoftAntiAffinity,
        }
    }
}

impl From<&AffinityRule> for pb::AffinityRule {
    fn from(rule: &AffinityRule) -> Self {
        Self {
            group: rule.group.clone(),
            policy: pb::AffinityPolicy::from(rule.policy).into(),
            topology_key: rule.topology_key.clone(),
            partition: rule.partition.clone(),
        }
    }
}

impl TryFrom<pb::AffinityRule> for AffinityRule {
    type Error = DecodeError;

    fn try_from(rule: pb::AffinityRule) -> Result<Self, DecodeError> {
        let policy = match rule.policy() {
            pb::AffinityPolicy::Unspecified => return Err(DecodeError::new("policy", "must be set")),
            pb::AffinityPolicy::Affinity => AffinityPolicy::Affinity,
            pb::AffinityPolicy::AntiAffinity => AffinityPolicy::AntiAffinity,
            pb::AffinityPolicy::SoftAffinity => AffinityPolicy::SoftAffinity,
            pb::AffinityPolicy::SoftAntiAffinity => AffinityPolicy::SoftAntiAffinity,
        };
        let topology_key = rule.topology_key.map(|key| text("topology_key", key)).transpose()?;
        if topology_key.as_ref().is_some_and(String::is_empty) {
            return Err(DecodeError::new("topology_key", "must not be empty; leave it out"));
        }
        Ok(Self {
            group: name("group", rule.group)?,
            policy,
            topology_key,
            partition: rule.partition.map(|partition| name("partition", partition)).transpose()?,
        })
    }
}

/// In a claim a group and a partition are one text.
fn name(field: &str, name: String) -> Result<String, DecodeError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(is_plain) {
        let problem = format!("must be 1 to {NAME_MAX_BYTES} letters, digits and any of -_./");
        return Err(DecodeError::new(field, problem));
    }
    Ok(name)
}

/// All of one group of instances.
pub(super) fn rules(rules: Vec<pb::AffinityRule>) -> Result<Vec<AffinityRule>, DecodeError> {
    if rules.len() > RULES_MAX {
        return Err(DecodeError::new("rules", format!("{}, limit {RULES_MAX}", rules.len())));
    }
    let rules = list("rules", rules, AffinityRule::try_from)?;
    let mut partitions = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        if !seen.insert((&rule.group, rule.policy, &rule.topology_key)) {
            let problem = format!("group '{}' has the same rule twice", rule.group);
            return Err(DecodeError::new("group", problem).at("rules", index));
        }
        let opposite = rules[..index].iter().find(|other| {
            (&other.group, &other.topology_key) == (&rule.group, &rule.topology_key)
                && other.policy.is_required()
                && rule.policy.is_required()
        });
        if opposite.is_some() {
            let problem = format!("group '{}' cannot be together and apart at once", rule.group);
            return Err(DecodeError::new("policy", problem).at("rules", index));
        }
        if *partitions.entry(&rule.group).or_insert(&rule.partition) != &rule.partition {
            let problem = format!("must be the same in all rules of group '{}'", rule.group);
            return Err(DecodeError::new("partition", problem).at("rules", index));
        }
    }
    Ok(rules)
}
