//! Who has and who lacks one flag.

use serde::Serialize;
use vmuster_proto::model::{FlagsAnswer, FlagsGroup, Layer, Verdict};

use crate::render::Columns;

/// Who has and lacks one flag.
#[derive(Serialize)]
pub(super) struct Why<'a> {
    pub(super) feature: &'a str,
    pub(super) hosts: Vec<HostVerdict<'a>>,
}

/// Whether one host has a flag.
#[derive(Serialize)]
pub(super) struct HostVerdict<'a> {
    name: &'a str,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(super) fn lacking<'a>(group: &'a FlagsGroup, feature: &str) -> Vec<&'a str> {
    if group.features.contains(feature) {
        return Vec::new();
    }
    let absent = group.absent.iter().find(|absent| absent.name == feature);
    let mut hosts: Vec<&str> = match absent {
        Some(absent) => {
            let classes =
                absent.lacking_classes.iter().filter_map(|index| group.classes.get(*index as usize));
            classes.flat_map(|class| &class.hosts).map(String::as_str).collect()
        }
        None => group.hosts.iter().map(String::as_str).collect(),
    };
    hosts.sort_unstable();
    hosts
}

pub(super) fn verdicts<'a>(answer: &'a FlagsAnswer, feature: &str) -> Vec<HostVerdict<'a>> {
    let mut verdicts = Vec::new();
    for group in &answer.groups {
        let lacking = lacking(group, feature);
        for name in &group.hosts {
            let lacks = lacking.binary_search(&name.as_str()).is_ok();
            let reasons = || vec![reason(answer.layer, feature)];
            let verdict = if lacks { Verdict::No { reasons: reasons() } } else { Verdict::Yes };
            verdicts.push(HostVerdict { name, verdict });
        }
    }
    for host in &answer.missing {
        let verdict = Verdict::Unknown { missing: vec![host.problem.detail.clone()] };
        verdicts.push(HostVerdict { name: &host.name, verdict });
    }
    verdicts.sort_by(|a, b| a.name.cmp(b.name));
    verdicts
}

pub(super) fn why(answer: &FlagsAnswer, feature: &str, width: u16) -> String {
    let verdicts = verdicts(answer, feature);
    let has = verdicts.iter().filter(|verdict| verdict.verdict == Verdict::Yes).count();
    let all = verdicts.len();
    let layer = answer.layer;
    let blockers = answer.groups.iter().flat_map(|group| &group.sole_blockers);
    let mut alone = blockers.filter(|(_, features)| features.contains(feature)).map(|(host, _)| host);
    let alone = alone.next().map_or(String::new(), |host| format!("; only {host} takes it away"));
    let mut text = format!("{feature}, layer {layer}: on {has} of {all} hosts{alone}\n");
    let mut table = Columns::new(&["HOST", "HAS IT", "WHY"], width);
    for HostVerdict { name, verdict } in &verdicts {
        let (word, why) = match verdict {
            Verdict::Yes => ("yes", String::new()),
            Verdict::No { reasons } => ("no", reasons.join("; ")),
            Verdict::Unknown { missing } => ("unknown", missing.join("; ")),
        };
        table.row([(*name).to_owned(), word.to_owned(), why]);
    }
    text += &table.text();
    text
}

fn reason(layer: Layer, feature: &str) -> String {
    match layer {
        Layer::Host => format!("{feature} is not on every online CPU"),
        Layer::Guest => format!("its hypervisor gives no guest {feature}"),
    }
}
