//! Answers about baselines.

use serde::Serialize;
use vmuster_proto::model::{
    BASELINE_SCHEMA, BaselineAnswer, CpuBaseline, CpuDefinition, ExceedingDomain, Verdict, VerdictSource,
};

use super::Columns;

/// The answer as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a BaselineAnswer,
}

pub(crate) fn document(answer: &BaselineAnswer) -> Document<'_> {
    Document { schema: BASELINE_SCHEMA, answer }
}

pub(crate) fn table(answer: &BaselineAnswer, width: u16) -> String {
    let groups: Vec<String> = answer.baselines.iter().map(|one| group(one, width)).collect();
    groups.join("\n")
}

fn group(one: &CpuBaseline, width: u16) -> String {
    let mut text = heading(one);
    let Some(cpu) = &one.cpu else { return text };
    text += &model(cpu, one.model_source.as_deref());
    if !one.verdicts.is_empty() {
        text.push('\n');
        text += &verdicts(one, width);
    }
    if !one.exceeding_domains.is_empty() {
        text += "\nGuests with more; they keep it until they are started anew:\n";
        text += &exceeding(&one.exceeding_domains, width);
    }
    if let Some(forms) = &one.forms {
        text += "\nFor libvirt:\n";
        text += &indented(&forms.libvirt_xml);
        text += "\nFor QEMU:\n";
        let words: Vec<String> = forms.qemu_cpu.split_inclusive(',').map(str::to_owned).collect();
        text += &indented(&broken(&words, usize::from(width).saturating_sub(3)));
    }
    text
}

fn heading(one: &CpuBaseline) -> String {
    let vendor = one.vendor.as_deref().unwrap_or("vendor not known");
    let hosts = match one.hosts.as_slice() {
        [host] => host.clone(),
        hosts => format!("{} hosts", hosts.len()),
    };
    let mut text = format!("{} ({vendor}), {hosts}", one.arch);
    if one.refusal.is_some() {
        return text + ": no baseline\n";
    }
    text += &format!(": {} features", one.features.len());
    text += &one
        .psabi_level
        .map(|level| match level {
            0 => ", below x86-64-v1".to_owned(),
            level => format!(", x86-64-v{level}"),
        })
        .unwrap_or_default();
    text += &one.physical_address_bits.map(|bits| format!(", {bits} address bits")).unwrap_or_default();
    text + "\n"
}

fn model(cpu: &CpuDefinition, source: Option<&str>) -> String {
    let count = |policy: &str| {
        cpu.features.iter().filter(|feature| feature.policy.as_deref() == Some(policy)).count()
    };
    let model = cpu.model.as_deref().unwrap_or("none");
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    format!("model {model}{source}, with {} more and without {}\n", count("require"), count("disable"))
}

fn verdicts(one: &CpuBaseline, width: u16) -> String {
    let mut table = Columns::new(&["HOST", "RUNS IT", "SAYS", "WHY"], width);
    for of in &one.verdicts {
        let (word, why) = match &of.verdict {
            Verdict::Yes => ("yes", String::new()),
            Verdict::No { reasons } => ("no", reasons.join("; ")),
            Verdict::Unknown { missing } => ("unknown", missing.join("; ")),
        };
        let source = match of.source {
            VerdictSource::Libvirt => "libvirt",
            VerdictSource::Features => "features",
        };
        table.row([of.host.clone(), word.to_owned(), source.to_owned(), why]);
    }
    table.text()
}

fn exceeding(domains: &[ExceedingDomain], width: u16) -> String {
    let mut table = Columns::new(&["HOST", "GUEST", "STATE", "BEYOND"], width);
    for domain in domains {
        let names = domain.features.names().join(" ");
        let beyond = [names.as_str(), domain.detail.as_str()];
        let beyond: Vec<&str> = beyond.into_iter().filter(|part| !part.is_empty()).collect();
        let state = domain.state.replace('_', " ");
        table.row([domain.host.clone(), domain.name.clone(), state, beyond.join("; ")]);
    }
    table.text()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Words that are joined without a space, in lines of at most `width`; a backslash says that a line goes on.
fn broken(words: &[String], width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for word in words {
        if used > 0 && used + word.len() > width {
            text += "\\\n";
            used = 0;
        }
        used += word.len();
        text += word;
    }
    text
}
