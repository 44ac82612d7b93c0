//! `vmuster baseline`.

use std::{collections::BTreeSet, time::Duration};

use vmuster_proto::model::{
    BaselineAnswer, BaselineVerdict, CpuBaseline, MissingHost, ProblemKind, Verdict, VerdictKind,
};

use super::{completeness, doubts, several_arches};
use crate::{
    args::{BaselineArguments, BaselineOutput},
    client::{BaselineRequest, Client},
    exit::{Answered, Exit, Failure},
    progress::refresh_first,
    render::{self, width},
};

pub(crate) async fn run(
    client: &mut Client,
    arguments: &BaselineArguments,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    let max_age = refresh_first(client, &arguments.scope, max_age).await?;
    let question = BaselineRequest {
        scope: &arguments.scope,
        include_domains: !arguments.no_guests,
        verify: !arguments.no_verify,
    };
    let answer = client.baseline(&question, max_age).await?;
    show(&answer, arguments.output)
}

pub(crate) fn show(answer: &BaselineAnswer, output: BaselineOutput) -> Result<Answered, Failure> {
    let mut answered = Answered { notes: notes(answer), exits: exits(answer), ..Answered::default() };
    let one = match answer.baselines.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let forms = one.and_then(|one| one.forms.as_ref());
    let form = match output {
        BaselineOutput::Table => {
            answered.text = render::baseline::table(answer, width());
            return Ok(answered);
        }
        BaselineOutput::Json => {
            answered.text = render::json(&render::baseline::document(answer))?;
            return Ok(answered);
        }
        BaselineOutput::Yaml => {
            answered.text = render::yaml(&render::baseline::document(answer))?;
            return Ok(answered);
        }
        BaselineOutput::Xml => forms.map(|forms| forms.libvirt_xml.clone()),
        BaselineOutput::Qemu => forms.map(|forms| forms.qemu_cpu.clone() + "\n"),
        BaselineOutput::Nova => forms.map(|forms| forms.nova_conf.clone()),
        BaselineOutput::Proxmox => forms.and_then(|forms| forms.proxmox_conf.clone()),
        BaselineOutput::Incus => forms.and_then(|forms| forms.incus_conf.clone()),
    };
    // What one file holds can be one definition only.
    let arches: BTreeSet<&str> = answer.baselines.iter().map(|one| one.arch.as_str()).collect();
    if arches.len() > 1 {
        several_arches(&mut answered, &arches);
    }
    if forms.is_some() && form.is_none() {
        answered.exits.insert(Exit::No);
    }
    answered.text = form.unwrap_or_default();
    Ok(answered)
}

fn exits(answer: &BaselineAnswer) -> BTreeSet<Exit> {
    let mut exits = completeness(answer.hosts.iter().map(|host| host.freshness));
    let unseen = answer.baselines.iter().flat_map(|one| &one.unseen_domains);
    let is_passing = |host: &MissingHost| host.problem.kind != ProblemKind::Unsupported;
    if !answer.missing.is_empty() || { unseen }.any(is_passing) {
        exits.insert(Exit::Incomplete);
    }
    if answer.baselines.is_empty() {
        exits.insert(Exit::CannotAnswer);
    }
    if answer.baselines.iter().any(|one| one.refusal.is_some()) || !mixed_arches(answer).is_empty() {
        exits.insert(Exit::No);
    }
    for verdict in answer.baselines.iter().flat_map(|one| &one.verdicts) {
        match verdict.verdict.kind() {
            VerdictKind::Yes => {}
            VerdictKind::No => {
                exits.insert(Exit::No);
            }
            VerdictKind::Unknown => {
                exits.insert(Exit::Incomplete);
            }
        }
    }
    exits
}

/// Architectures whose hosts are of several vendors: guests of theirs have no CPU in common.
fn mixed_arches(answer: &BaselineAnswer) -> Vec<Vec<&CpuBaseline>> {
    let arches: BTreeSet<&str> = answer.baselines.iter().map(|one| one.arch.as_str()).collect();
    let of = |arch: &str| answer.baselines.iter().filter(|one| one.arch == arch).collect::<Vec<_>>();
    arches.into_iter().map(of).filter(|group| group.len() > 1).collect()
}

fn notes(answer: &BaselineAnswer) -> Vec<String> {
    let mut notes = doubts(&answer.hosts, &answer.missing, answer.host_count, "features");
    for group in mixed_arches(answer) {
        let vendors: Vec<_> = group.iter().map(|one| one.vendor.as_deref().unwrap_or("unknown")).collect();
        notes.push(format!(
            "no common guest baseline: {} hosts are of {}, and no guest moves between vendors; narrow the scope with \
             --hosts or --label",
            group[0].arch,
            vendors.join(" and of ")
        ));
    }
    for one in &answer.baselines {
        notes.extend(one.refusal.iter().map(|why| format!("no baseline for {}: {why}", some(&one.hosts))));
        notes.extend(one.notes.iter().map(|note| format!("note: {note}")));
        notes.extend(unseen(&one.unseen_domains));
        notes.extend(without_verdict(&one.verdicts));
        let more = one.exceeding_domain_count as usize
            - one.exceeding_domains.len().min(one.exceeding_domain_count as usize);
        notes.extend(
            (more > 0).then(|| format!("note: {more} more guests have more features and are not named")),
        );
    }
    notes
}

/// One line, however many there are.
fn unseen(hosts: &[MissingHost]) -> Option<String> {
    let (first, others) = hosts.split_first()?;
    let more = match others.len() {
        0 => String::new(),
        1 => " and of 1 more host".to_owned(),
        count => format!(" and of {count} more hosts"),
    };
    let (name, why) = (&first.name, &first.problem.detail);
    Some(format!("warning: the guests of {name}{more} could not be looked at ({why})"))
}

/// Hosts named in a line; the tables and documents have all.
const NAMED_MAX: usize = 8;

/// As many as fit, and how many more there are.
fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// One line, however many there are.
fn without_verdict(verdicts: &[BaselineVerdict]) -> Option<String> {
    let mut unknown = verdicts.iter().filter_map(|of| match &of.verdict {
        Verdict::Unknown { missing } => Some((of.host.as_str(), missing.join("; "))),
        Verdict::Yes | Verdict::No { .. } => None,
    });
    let (first, why) = unknown.next()?;
    let more = match unknown.count() {
        0 => String::new(),
        1 => " and 1 more host".to_owned(),
        count => format!(" and {count} more hosts"),
    };
    let verb = if more.is_empty() { "gives" } else { "give" };
    Some(format!("warning: {first}{more} {verb} no verdict ({why})"))
}
