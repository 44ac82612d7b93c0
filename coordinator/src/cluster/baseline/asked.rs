//! What hosts' agents and their libvirts are asked for a baseline, and how their answers are read.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::{Instant, timeout_at};
use vmuster_proto::{
    libvirt::{cpu, render},
    model::{
        BaselineVerdict, CpuComparison, CpuDefinition, Domain, FeatureSet, Freshness, GuestCpu, IssueKind,
        Problem, ProblemKind, Verdict, VerdictSource, printable,
    },
    transport::PeerAddress,
};

use crate::{
    baseline::{GuestHost, Source, Stands, runs, with_policy},
    cache::{HostView, check_name},
    fetch::Fetcher,
};

/// Section of an agent's usage.
const DOMAINS: &str = "usage.domains";

/// Of a host's own words: enough for some twenty features, and 10,000 hosts' fit in an answer.
const REASON_MAX_BYTES: usize = 400;

/// Hosts whose libvirt is asked for a model, one after another: the oldest first, for an older one refuses names it does not
/// know.
const PROPOSERS_MAX: usize = 3;

/// A host that counts.
pub(super) struct Member<'a> {
    pub(super) view: &'a HostView,
    pub(super) guest: &'a GuestCpu,
    libvirt_version: Option<&'a str>,
}

impl<'a> Member<'a> {
    /// None: it does not report what it can give.
    pub(super) fn of(view: &'a HostView) -> Option<Self> {
        let inventory = &view.record.as_ref()?.inventory;
        let guest = inventory.cpu.as_ref()?.guest.as_ref()?;
        let hypervisor = inventory.hypervisor.as_ref();
        let libvirt_version = hypervisor.and_then(|hypervisor| hypervisor.libvirt_version.as_deref());
        Some(Self { view, guest, libvirt_version })
    }

    pub(super) fn as_host(&self) -> GuestHost<'_> {
        GuestHost { name: self.name(), guest: self.guest }
    }

    pub(super) fn name(&self) -> &str {
        &self.view.entry.name
    }

    /// Where it can be asked now; None: it could not be asked a moment ago, or is a saved snapshot.
    fn address(&self) -> Option<&PeerAddress> {
        self.view.entry.address.as_ref().filter(|_| self.view.freshness == Freshness::Fresh)
    }
}

/// libvirt's version as numbers: 10.0.0 is newer than 9.0.0. Unknown ones come last.
fn by_age(version: Option<&str>) -> (bool, Vec<u64>) {
    let numbers = version.map(|text| text.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect());
    (numbers.is_none(), numbers.unwrap_or_default())
}

/// The model libvirt chooses for all of the hosts' host-models, and what it stands for there.
pub(super) async fn propose(
    fetcher: &Arc<Fetcher>,
    members: &[Member<'_>],
    deadline: Instant,
    notes: &mut Vec<String>,
) -> Option<(String, Stands)> {
    let definitions: BTreeSet<String> =
        members.iter().filter_map(|member| member.guest.host_model.as_ref()).map(sent).collect();
    let definitions: Vec<String> = definitions.into_iter().collect();
    if definitions.is_empty() {
        return None;
    }
    let mut askable: Vec<_> = members.iter().filter_map(|member| Some((member, member.address()?))).collect();
    askable.sort_by_key(|(member, _)| (by_age(member.libvirt_version), member.name().to_owned()));
    askable.truncate(PROPOSERS_MAX);
    let mut failed = None;
    for (index, (member, address)) in askable.iter().enumerate() {
        // One that hangs must not cost the others their turn.
        let turns = u32::try_from(askable.len() - index).unwrap_or(1);
        let turn = Instant::now() + deadline.saturating_duration_since(Instant::now()) / turns;
        let ask = async {
            let plain = fetcher.compute_cpu_baseline(address, &definitions, false).await?;
            Ok((plain, fetcher.compute_cpu_baseline(address, &definitions, true).await?))
        };
        let answered: Result<(String, String), Problem> =
            timeout_at(turn, ask).await.unwrap_or_else(|_| Err(late()));
        let source = Source::Libvirt {
            version: member.libvirt_version.map(str::to_owned),
            host: member.name().to_owned(),
        };
        match answered.and_then(|(plain, expanded)| proposal(&plain, &expanded, source)) {
            Ok(proposal) => return Some(proposal),
            Err(problem) => failed = failed.or(Some((member.name().to_owned(), problem))),
        }
    }
    if let Some((host, problem)) = failed {
        notes.push(format!("no libvirt proposed a model; it was chosen here ({host}: {})", problem.detail));
    }
    None
}

/// A host-model as a definition that libvirt takes back.
fn sent(definition: &CpuDefinition) -> String {
    render::cpu(&CpuDefinition {
        mode: Some("custom".to_owned()),
        r#match: Some("exact".to_owned()),
        physical_address_bits: None,
        physical_address_mode: None,
        ..definition.clone()
    })
}

fn proposal(plain: &str, expanded: &str, source: Source) -> Result<(String, Stands), Problem> {
    let malformed = |detail: String| Problem::new(ProblemKind::Malformed, detail);
    let read = |text: &str| cpu::of_caller(text).map_err(|error| malformed(error.to_string()));
    let (plain, expanded) = (read(plain)?, read(expanded)?);
    let model =
        plain.model.clone().ok_or_else(|| malformed("libvirt's baseline names no model".to_owned()))?;
    let features = with_policy(&expanded, |policy| policy == "require");
    Ok((model, Stands::derived(&plain, &features, source)))
}

fn late() -> Problem {
    Problem::new(ProblemKind::Timeout, "no answer in the caller's time; allow more with --timeout")
}

/// What hosts are asked about.
pub(super) struct Definition<'a> {
    pub(super) features: &'a FeatureSet,
    pub(super) cpu: &'a CpuDefinition,
    /// As a libvirt `<cpu>` element.
    pub(super) text: String,
}

/// What one host says: its libvirt if it can be asked, else what it reported.
pub(super) async fn verdict(
    fetcher: Option<&Arc<Fetcher>>,
    member: &Member<'_>,
    definition: &Definition<'_>,
    deadline: Instant,
) -> BaselineVerdict {
    let of = |source, verdict| BaselineVerdict { host: member.name().to_owned(), source, verdict };
    let host = member.as_host();
    let Some(fetcher) = fetcher else {
        return of(VerdictSource::Features, runs(&host, definition.features, definition.cpu));
    };
    let said = |detail: &str| vec![printable(detail, REASON_MAX_BYTES)];
    let unknown = |problem: Problem| Verdict::Unknown { missing: said(&problem.detail) };
    let Some(address) = member.address() else {
        let problem = member.view.problem.clone();
        let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::Unreachable, "it cannot be asked"));
        return of(VerdictSource::Libvirt, unknown(problem));
    };
    let compared = timeout_at(deadline, fetcher.compare_cpu(address, &definition.text)).await;
    let verdict = match compared.unwrap_or_else(|_| Err(late())) {
        Ok((CpuComparison::Identical | CpuComparison::Superset, _)) => Verdict::Yes,
        Ok((CpuComparison::Incompatible, detail)) => Verdict::No { reasons: said(&detail) },
        Err(problem) => unknown(problem),
    };
    of(VerdictSource::Libvirt, verdict)
}

/// A host's guests now, or those saved with its snapshot; and why they are not there, or not as they are now.
pub(super) async fn domains(
    fetcher: Option<&Arc<Fetcher>>,
    member: &Member<'_>,
    deadline: Instant,
) -> (Vec<Domain>, Option<Problem>) {
    let untold = || Problem::new(ProblemKind::Unsupported, "the host does not report its guests");
    let Some(fetcher) = fetcher else {
        let saved = member.view.record.as_ref().and_then(|record| record.saved_usage.as_deref());
        let domains = saved.and_then(|usage| usage.domains.clone());
        let problem = domains.is_none().then(untold);
        return (domains.unwrap_or_default(), problem);
    };
    let Some(address) = member.address() else {
        return (Vec::new(), Some(member.view.problem.clone().unwrap_or_else(untold)));
    };
    let asked = timeout_at(deadline, fetcher.usage(address)).await.unwrap_or_else(|_| Err(late()));
    let asked = asked.and_then(|usage| check_name(&member.view.entry, &usage.reported_name).map(|()| usage));
    let usage = match asked {
        Ok(usage) => usage,
        Err(problem) => return (Vec::new(), Some(problem)),
    };
    // An agent whose libvirt hangs shows guests as it saw them last, with an issue.
    let issue = usage.issues.iter().find(|issue| issue.section == DOMAINS);
    let problem = issue.map(|issue| {
        let kind = match issue.kind {
            IssueKind::Timeout => ProblemKind::Timeout,
            IssueKind::Denied => ProblemKind::Denied,
            IssueKind::Malformed => ProblemKind::Malformed,
            _ => ProblemKind::Unsupported,
        };
        Problem::new(kind, printable(&issue.detail, REASON_MAX_BYTES))
    });
    let problem = problem.or_else(|| usage.usage.domains.is_none().then(untold));
    (usage.usage.domains.unwrap_or_default(), problem)
}
