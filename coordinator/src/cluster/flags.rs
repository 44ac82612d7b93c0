//! Which flags do the hosts of a scope share?

use sha2::{Digest as _, Sha256};
use vmuster_proto::model::{FlagsAnswer, Freshness, Layer, MissingHost, Problem, ProblemKind};

use super::{Cluster, none_of_arch};
use crate::{
    cache::{HostView, ReadOptions},
    flags::{Detail, HostFeatures, common_host_flags},
    hosts::{Scope, ScopeError},
};

/// A question about common flags.
#[derive(Debug, Clone)]
pub struct FlagsQuestion {
    /// Which view.
    pub layer: Layer,
    /// Which hosts.
    pub scope: Scope,
    /// How much to tell.
    pub detail: Detail,
}

impl Cluster {
    /// The flags that hosts in scope share, with a digest that changes whenever the answer may.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn common_flags(
        &self,
        question: &FlagsQuestion,
        options: ReadOptions,
    ) -> Result<(FlagsAnswer, String), ScopeError> {
        let views = self.read(&question.scope, options).await?;
        if views.is_empty() {
            return Err(none_of_arch(&question.scope));
        }
        Ok((answer(question.layer, &views, question.detail), generation(question, &views)))
    }
}

/// What a view brings to a question about flags, or why it brings nothing.
fn features_of(view: &HostView, layer: Layer) -> Result<HostFeatures<'_>, Problem> {
    let missing = |kind, detail: String| Problem::new(kind, detail);
    let Some(record) = &view.record else {
        let unknown = || missing(ProblemKind::Failed, "nothing is known of this host".to_owned());
        return Err(view.problem.clone().unwrap_or_else(unknown));
    };
    let unsupported = |section: &str, what: &str| {
        // The field's own issue, else its section's: a neighbour's reason would mislead.
        let parent = section.split('.').next().unwrap_or(section);
        let about = |section: &str| record.issues.iter().find(|issue| issue.section == section);
        let why = about(section).or_else(|| about(parent));
        let why = why.map_or(String::new(), |issue| {
            let kind = format!("{:?}", issue.kind).to_lowercase();
            format!(" ({kind}, {}: {})", issue.source, issue.detail)
        });
        missing(ProblemKind::Unsupported, format!("the host does not report {what}{why}"))
    };
    let arch = record.inventory.arch().ok_or_else(|| unsupported("system.arch", "its architecture"))?;
    let cpu = record.inventory.cpu.as_ref().ok_or_else(|| unsupported("cpu", "its CPU"))?;
    let features = match layer {
        Layer::Host => cpu.host_flags.as_ref().ok_or_else(|| unsupported("cpu.host_flags", "CPU flags"))?,
        Layer::Guest => {
            // The advice first: a long reason is cut at its end.
            return Err(unsupported("cpu.guest", "guest features; ask for --layer host"));
        }
    };
    Ok(HostFeatures {
        host: &view.entry.name,
        arch,
        vendor: cpu.vendor.as_deref(),
        features,
        physical_address_bits: cpu.physical_address_bits,
    })
}

fn answer(layer: Layer, views: &[HostView], detail: Detail) -> FlagsAnswer {
    let (mut counted, mut missing, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let mut fresh_host_count = 0;
    for view in views {
        match features_of(view, layer) {
            Ok(features) => {
                counted.push(features);
                let fresh = view.freshness == Freshness::Fresh;
                fresh_host_count += u32::from(fresh);
                if detail.hosts || !fresh {
                    hosts.push(view.standing());
                }
            }
            Err(problem) => missing.push(MissingHost { name: view.entry.name.clone(), problem }),
        }
    }
    let host_count = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    FlagsAnswer {
        layer,
        complete: missing.is_empty() && fresh_host_count == host_count,
        groups: common_host_flags(&counted, detail),
        host_count,
        fresh_host_count,
        hosts,
        missing,
    }
}

/// Hex digest of the question, of who is in scope, what they are, how fresh, and why not. Renewals without a change do not count.
fn generation(question: &FlagsQuestion, views: &[HostView]) -> String {
    let mut hasher = Sha256::new();
    // Lengths first, so that no two lists of fields run into the same bytes.
    let mut field = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    // What was asked, so that another question never hears "unchanged".
    field(&format!("{:?} {:?} {:?}", question.layer, question.detail, question.scope.arch));
    for view in views {
        field(&view.entry.name);
        field(view.record.as_ref().map_or("", |record| &record.inventory.fingerprint));
        field(&view.freshness.to_string());
        field(view.problem.as_ref().map_or("", |problem| &problem.detail));
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vmuster_proto::model::{Cpu, Inventory, Issue, IssueKind, System};

    use super::*;
    use crate::{
        cache::{HostRecord, Outcome},
        hosts::HostEntry,
    };

    #[test]
    fn a_host_without_guest_features_says_why() {
        let system = System { arch: Some("x86_64".to_owned()), ..System::default() };
        let inventory = Inventory { system: Some(system), cpu: Some(Cpu::default()), ..Inventory::default() };
        let record = HostRecord {
            host: "a".to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: None,
            inventory: Arc::new(inventory),
            issues: [Issue::new("cpu.guest", "virConnectOpen", IssueKind::Denied, "join the group")].into(),
            superseded: false,
            saved_usage: None,
        };
        let entry = Arc::new(HostEntry::new("a", None));
        let view = HostView::fresh(&entry, Arc::new(record), Outcome::StillFresh);
        let problem = features_of(&view, Layer::Guest).map(|_| ()).expect_err("there are none");
        assert!(problem.detail.contains("--layer host"), "{problem:?}");
        assert!(problem.detail.contains("(denied, virConnectOpen: join the group)"), "{problem:?}");
    }
}
