//! Answers about migrations.

use serde::Serialize;
use vmuster_proto::model::{
    Finding, MIGRATION_SCHEMA, MigrationAnswer, MigrationVerdict, VerdictKind, printable,
};

use super::Columns;

/// What a line has room for.
const NAME_MAX_BYTES: usize = 256;

/// The answer as JSON and YAML show it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    domain: Guest<'a>,
    /// Null of a given definition.
    source: Option<&'a str>,
    verdicts: Vec<Verdict<'a>>,
}

#[derive(Serialize)]
struct Guest<'a> {
    uuid: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Verdict<'a> {
    host: &'a str,
    verdict: VerdictKind,
    findings: &'a [Finding],
}

impl<'a> Document<'a> {
    pub(crate) fn new(answer: &'a MigrationAnswer) -> Self {
        let MigrationAnswer { domain, source_host, verdicts } = answer;
        let verdict = |verdict: &'a MigrationVerdict| Verdict {
            host: &verdict.host.name,
            verdict: verdict.verdict,
            findings: &verdict.findings,
        };
        Self {
            schema: MIGRATION_SCHEMA,
            domain: Guest { uuid: &domain.uuid, name: &domain.name },
            source: source_host.as_deref(),
            verdicts: verdicts.iter().map(verdict).collect(),
        }
    }
}

/// Hosts that can take it, one a line.
pub(crate) fn plain(answer: &MigrationAnswer) -> String {
    let able = answer.verdicts.iter().filter(|verdict| verdict.verdict == VerdictKind::Yes);
    able.map(|verdict| format!("{}\n", verdict.host.name)).collect()
}

pub(crate) fn table(answer: &MigrationAnswer, width: u16) -> String {
    let MigrationAnswer { domain, source_host, verdicts } = answer;
    let on = source_host.as_ref().map_or_else(|| "a definition".to_owned(), |host| format!("on {host}"));
    let uuid = if domain.uuid.is_empty() { String::new() } else { format!(" ({})", domain.uuid) };
    let count = |kind| verdicts.iter().filter(|verdict| verdict.verdict == kind).count();
    let counts = [VerdictKind::Yes, VerdictKind::Unknown, VerdictKind::No];
    let counts = counts.map(|kind| format!("{kind} {}", count(kind))).join(", ");
    let mut table = Columns::new(&["HOST", "VERDICT", "WHY"], width);
    for verdict in verdicts {
        let why: Vec<_> = verdict.findings.iter().map(|finding| line(finding, verdict.verdict)).collect();
        let why = if why.is_empty() { "-".to_owned() } else { why.join("\n") };
        table.row([verdict.host.name.clone(), verdict.verdict.to_string(), why]);
    }
    // As a file may say it, that no libvirt has seen.
    let name = printable(&domain.name, NAME_MAX_BYTES);
    format!("{name}{uuid}, {on}: {counts}\n\n{}", table.text())
}

/// A finding says its own verdict where the host's does not.
fn line(finding: &Finding, of_host: VerdictKind) -> String {
    let Finding { rule, verdict, detail } = finding;
    let marked = match verdict {
        VerdictKind::Yes => " (note)".to_owned(),
        verdict if *verdict != of_host => format!(" ({verdict})"),
        _ => String::new(),
    };
    format!("{rule}{marked}: {detail}")
}
