//! What hosts' agents and their libvirts are asked for a baseline, and how their answers are read.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::{Instant, timeout_at};
use vmuster_proto::{
    libvirt::{cpu, render},
    model::{
        BaselineVerdict, CpuComparison, CpuDefinition, Domain, FeatureSet, Freshness, GuestCpu, Problem,
        ProblemKind, Verdict, VerdictSource,
    },
    transport::PeerAddress,
};

use crate::{
    baseline::{GuestHost, Source, Stands, runs, with_policy},
    cache::HostView,
    fetch::Fetcher,
};

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
    let mut last = None;
    for (member, address) in askable.into_iter().take(PROPOSERS_MAX) {
        let ask = async {
            let plain = fetcher.compute_cpu_baseline(address, &definitions, false).await?;
            Ok((plain, fetcher.compute_cpu_baseline(address, &definitions, true).await?))
        };
        let answered: Result<(String, String), Problem> =
            timeout_at(deadline, ask).await.unwrap_or_else(|_| Err(late()));
        let source = Source::Libvirt {
            version: member.libvirt_version.map(str::to_owned),
            host: member.name().to_owned(),
        };
        match answered.and_then(|(plain, expanded)| proposal(&plain, &expanded, source)) {
            Ok(proposal) => return Some(proposal),
            Err(problem) => last = Some((member.name().to_owned(), problem)),
        }
    }
    if let Some((host, problem)) = last {
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

/// What one host says: its libvirt if it can be asked, else what it reported.
pub(super) async fn verdict(
    fetcher: Option<&Arc<Fetcher>>,
    member: &Member<'_>,
    features: &FeatureSet,
    cpu: &CpuDefinition,
    deadline: Instant,
) -> BaselineVerdict {
    let of = |source, verdict| BaselineVerdict { host: member.name().to_owned(), source, verdict };
    let host = member.as_host();
    let Some(fetcher) = fetcher else { return of(VerdictSource::Features, runs(&host, features, cpu)) };
    let unknown = |problem: Problem| Verdict::Unknown { missing: vec![problem.detail] };
    let Some(address) = member.address() else {
        let problem = member.view.problem.clone();
        let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::Unreachable, "it cannot be asked"));
        return of(VerdictSource::Libvirt, unknown(problem));
    };
    let text = render::cpu(cpu);
    let compared = timeout_at(deadline, fetcher.compare_cpu(address, &text)).await;
    let verdict = match compared.unwrap_or_else(|_| Err(late())) {
        Ok((CpuComparison::Identical | CpuComparison::Superset, _)) => Verdict::Yes,
        Ok((CpuComparison::Incompatible, detail)) => Verdict::No { reasons: vec![detail] },
        Err(problem) => unknown(problem),
    };
    of(VerdictSource::Libvirt, verdict)
}

/// A host's guests now, or those saved with its snapshot.
pub(super) async fn domains(
    fetcher: Option<&Arc<Fetcher>>,
    member: &Member<'_>,
    deadline: Instant,
) -> Result<Vec<Domain>, Problem> {
    let untold = || Problem::new(ProblemKind::Unsupported, "the host does not report its guests");
    let Some(fetcher) = fetcher else {
        let saved = member.view.record.as_ref().and_then(|record| record.saved_usage.as_deref());
        return saved.and_then(|usage| usage.domains.clone()).ok_or_else(untold);
    };
    let stale = || member.view.problem.clone().unwrap_or_else(untold);
    let address = member.address().ok_or_else(stale)?;
    let usage = timeout_at(deadline, fetcher.usage(address)).await.unwrap_or_else(|_| Err(late()))?;
    usage.usage.domains.ok_or_else(|| {
        let why = usage.issues.iter().find(|issue| issue.section.starts_with("usage.domains"));
        why.map_or_else(untold, |issue| Problem::new(ProblemKind::Unsupported, issue.detail.clone()))
    })
}
