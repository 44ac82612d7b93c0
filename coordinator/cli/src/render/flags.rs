//! Answers about common flags.

use serde::Serialize;
use vmuster_proto::model::{FLAGS_SCHEMA, FlagsAnswer, FlagsGroup, Freshness, Layer, Timestamp, Verdict};

use super::{Columns, View, age, wrapped};

/// The answer as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a FlagsAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why<'a>>,
}

/// Who has and lacks one flag.
#[derive(Serialize)]
struct Why<'a> {
    feature: &'a str,
    hosts: Vec<HostVerdict<'a>>,
}

/// Whether one host has a flag.
#[derive(Serialize)]
struct HostVerdict<'a> {
    name: &'a str,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(crate) fn document<'a>(answer: &'a FlagsAnswer, view: View<'a>) -> Document<'a> {
    let why = match view {
        View::Why(feature) => Some(Why { feature, hosts: verdicts(answer, feature) }),
        View::Common | View::Matrix => None,
    };
    Document { schema: FLAGS_SCHEMA, answer, why }
}

/// One flag a line, nothing else.
pub(crate) fn plain(group: &FlagsGroup, view: View<'_>) -> String {
    let line = |name: &str| format!("{name}\n");
    match view {
        View::Common => group.features.names().into_iter().map(line).collect(),
        View::Matrix => group.absent.iter().map(|absent| line(&absent.name)).collect(),
        View::Why(feature) => lacking(group, feature).into_iter().map(line).collect(),
    }
}

pub(crate) fn table(answer: &FlagsAnswer, view: View<'_>, now: Timestamp, width: u16) -> String {
    let mut text = String::new();
    match view {
        View::Common => {
            for group in &answer.groups {
                text += &heading(answer.layer, group);
                text += &wrapped(&group.features.names(), width);
                text.push('\n');
            }
            text += &hosts(answer, now, width);
        }
        View::Matrix => {
            for group in &answer.groups {
                text += &heading(answer.layer, group);
                text += &wrapped(&group.features.names(), width);
                text.push('\n');
                text += &matrix(group, width);
                text.push('\n');
            }
            text += &hosts(answer, now, width);
        }
        View::Why(feature) => text += &why(answer, feature, width),
    }
    text
}

fn heading(layer: Layer, group: &FlagsGroup) -> String {
    let FlagsGroup { arch, vendors, features, host_count, physical_address_bits, .. } = group;
    let vendors: Vec<_> = vendors.iter().map(String::as_str).collect();
    let vendors = if vendors.is_empty() { "vendor not known".to_owned() } else { vendors.join(" + ") };
    let bits = physical_address_bits.map_or_else(|| "not known".to_owned(), |bits| bits.to_string());
    let (hosts, flags) = (counted(*host_count, "host"), counted(features.len(), "common flag"));
    format!("{arch} ({vendors}), {hosts}, physical address bits {bits}\n{flags}, layer {layer}:\n")
}

fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count: u64 = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Every host with its freshness, and what only it takes away.
fn hosts(answer: &FlagsAnswer, now: Timestamp, width: u16) -> String {
    let renamed =
        answer.hosts.iter().any(|host| !host.reported_name.is_empty() && host.reported_name != host.name);
    let mut header = vec!["HOST", "FRESHNESS", "AGE", "ONLY IT LACKS"];
    if renamed {
        header.insert(1, "REPORTS");
    }
    let mut table = Columns::new(&header, width);
    for host in &answer.hosts {
        let blocked = answer.groups.iter().find_map(|group| group.sole_blockers.get(&host.name));
        let blocked = blocked.map_or_else(|| "-".to_owned(), |features| features.names().join(" "));
        let mut row =
            vec![host.name.clone(), host.freshness.to_string(), age(host.validated_at, now), blocked];
        if renamed {
            row.insert(1, host.reported_name.clone());
        }
        table.row(row);
    }
    for host in &answer.missing {
        let mut row =
            vec![host.name.clone(), Freshness::Missing.to_string(), "-".to_owned(), "not known".to_owned()];
        if renamed {
            row.insert(1, "-".to_owned());
        }
        table.row(row);
    }
    table.text()
}

/// A column for each class of like hosts, a row for each flag that differs.
fn matrix(group: &FlagsGroup, width: u16) -> String {
    let letters: Vec<String> = (0..group.classes.len()).map(letter).collect();
    let mut classes = Columns::new(&["CLASS", "FLAGS", "HOSTS"], width);
    for (letter, class) in letters.iter().zip(&group.classes) {
        classes.row([letter.clone(), class.feature_count.to_string(), class.hosts.join(" ")]);
    }
    let mut text = classes.text() + "\n";
    if group.absent.is_empty() {
        return text + "Every host has the same flags.\n";
    }
    // A column of letters is three wide; the flag's own column is as wide as the longest flag.
    let flag_width = group.absent.iter().map(|absent| absent.name.len()).max().unwrap_or(0).max("FLAG".len());
    let letter_width = letters.iter().map(String::len).max().unwrap_or(1) + 1;
    let per_block = usize::from(width).saturating_sub(flag_width).max(letter_width) / letter_width;
    let indexes: Vec<usize> = (0..letters.len()).collect();
    for (number, block) in indexes.chunks(per_block).enumerate() {
        text += if number > 0 { "\n" } else { "" };
        let cell = |text: &str| format!("{text:>letter_width$}");
        let header: String = block.iter().map(|index| cell(&letters[*index])).collect();
        text += &format!("{:flag_width$}{header}\n", "FLAG");
        for absent in &group.absent {
            let lacks =
                |index: usize| absent.lacking_classes.iter().any(|lacking| *lacking as usize == index);
            let cells: String =
                block.iter().map(|index| cell(if lacks(*index) { "-" } else { "x" })).collect();
            text += &format!("{:flag_width$}{cells}\n", absent.name);
        }
    }
    text
}

/// A, B … Z, AA, AB …
fn letter(index: usize) -> String {
    let last = char::from(b'A' + u8::try_from(index % 26).unwrap_or(0));
    if index < 26 { last.to_string() } else { format!("{}{last}", letter(index / 26 - 1)) }
}

fn lacking<'a>(group: &'a FlagsGroup, feature: &str) -> Vec<&'a str> {
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

fn verdicts<'a>(answer: &'a FlagsAnswer, feature: &str) -> Vec<HostVerdict<'a>> {
    let mut verdicts = Vec::new();
    for group in &answer.groups {
        let lacking = lacking(group, feature);
        for name in &group.hosts {
            let lacks = lacking.binary_search(&name.as_str()).is_ok();
            let reasons = || vec![format!("{feature} is not on every online CPU")];
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

fn why(answer: &FlagsAnswer, feature: &str, width: u16) -> String {
    let verdicts = verdicts(answer, feature);
    let has = verdicts.iter().filter(|verdict| verdict.verdict == Verdict::Yes).count();
    let all = verdicts.len();
    let layer = answer.layer;
    let mut text = format!("{feature}, layer {layer}: on {has} of {all} hosts\n");
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
