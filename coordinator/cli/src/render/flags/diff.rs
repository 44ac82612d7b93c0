//! Two hosts beside each other.

use serde::Serialize;
use vmuster_proto::model::{FeatureSet, FlagsAnswer, HostStanding, Layer, MissingHost, Timestamp};

use super::{counted, level};
use crate::render::{Columns, age, number, wrapped};

/// `schema` of the JSON document.
const SCHEMA: &str = "vmuster.flags_diff.v1";

/// What JSON and YAML show.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    layer: Layer,
    complete: bool,
    hosts: Vec<Host<'a>>,
    missing: Vec<&'a MissingHost>,
    /// None: one of the two is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    common: Option<FeatureSet>,
}

#[derive(Serialize)]
struct Host<'a> {
    #[serde(flatten)]
    standing: &'a HostStanding,
    arch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<&'a str>,
    feature_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    psabi_level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_address_bits: Option<u32>,
    /// None: the other one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    only_it: Option<FeatureSet>,
    #[serde(skip)]
    features: &'a FeatureSet,
}

impl<'a> Document<'a> {
    /// Of two answers, each about one host.
    pub(crate) fn new(layer: Layer, answers: &'a [FlagsAnswer]) -> Self {
        let mut hosts: Vec<_> = answers.iter().filter_map(host).collect();
        let mut common = None;
        if let [a, b] = hosts.as_mut_slice() {
            common = Some(a.features.intersection(b.features));
            a.only_it = Some(a.features.difference(b.features));
            b.only_it = Some(b.features.difference(a.features));
        }
        Self {
            schema: SCHEMA,
            layer,
            complete: answers.iter().all(|answer| answer.complete),
            hosts,
            missing: answers.iter().flat_map(|answer| &answer.missing).collect(),
            common,
        }
    }

    /// As diff(1) marks them: "<" the first host's, ">" the second's.
    pub(crate) fn plain(&self) -> String {
        let only =
            self.hosts.iter().zip(["<", ">"]).filter_map(|(host, mark)| Some((host.only_it.as_ref()?, mark)));
        only.flat_map(|(only, mark)| only.names().into_iter().map(move |name| format!("{mark} {name}\n")))
            .collect()
    }

    pub(crate) fn table(&self, now: Timestamp, width: u16) -> String {
        let mut table =
            Columns::new(&["HOST", "FRESHNESS", "AGE", "ARCH", "VENDOR", "FLAGS", "PSABI", "BITS"], width);
        for host in &self.hosts {
            table.row([
                host.standing.name.clone(),
                host.standing.freshness.to_string(),
                age(host.standing.validated_at, now),
                host.arch.to_owned(),
                host.vendor.unwrap_or("-").to_owned(),
                host.feature_count.to_string(),
                level(host.psabi_level),
                number(host.physical_address_bits),
            ]);
        }
        for host in &self.missing {
            let mut row = vec![host.name.clone(), "missing".to_owned()];
            row.resize(8, "-".to_owned());
            table.row(row);
        }
        let mut text = table.text();
        let Some(common) = &self.common else { return text };
        text += &format!("\n{}, layer {}\n", counted(common.len(), "common flag"), self.layer);
        for host in &self.hosts {
            let names = host.only_it.as_ref().map(FeatureSet::names).unwrap_or_default();
            text += &format!("\nonly {} has {}", host.standing.name, counted(names.len(), "flag"));
            text +=
                &if names.is_empty() { "\n".to_owned() } else { format!(":\n{}", wrapped(&names, width)) };
        }
        text
    }
}

fn host(answer: &FlagsAnswer) -> Option<Host<'_>> {
    let (group, standing) = (answer.groups.first()?, answer.hosts.first()?);
    Some(Host {
        standing,
        arch: &group.arch,
        vendor: group.vendor.as_deref(),
        feature_count: group.features.len(),
        psabi_level: group.psabi_level,
        physical_address_bits: group.physical_address_bits,
        only_it: None,
        features: &group.features,
    })
}
