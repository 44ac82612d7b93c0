//! Which CPU can a guest have on every host of a scope?

mod asked;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};
use vmuster_proto::{
    libvirt::{cpu::is_name, cpu_map::CpuMap, render},
    model::{
        BaselineAnswer, BaselineVerdict, CpuBaseline, FlagsGroup, Freshness, Layer, MissingHost, ProblemKind,
        Verdict,
    },
};

use super::{
    Cluster,
    flags::{digest, features_of},
    none_of_arch, vendor,
};
use crate::{
    baseline::{Composed, GuestHost, Known, Source, compose, exceeding, forms, refusal_of_arch},
    cache::{HostView, ReadOptions},
    cpu_map::read_cpu_map,
    flags::{Detail, common_flags},
    hosts::{Scope, ScopeError},
};
use asked::{Definition, Member, domains, propose, verdict};

/// Of the time there is at most this share goes to finding a model; the rest is for every host's verdict.
const PROPOSAL_SHARE: u32 = 2;

/// Files of the machine's own disk are read in milliseconds; a directory that hangs must not hold up the answer.
const CPU_MAP_PATIENCE: Duration = Duration::from_secs(1);

/// Guests that are named, of a baseline; the count says how many there are. 10,000 hosts have some 500,000.
const EXCEEDING_MAX: usize = 1000;

/// A question about a baseline.
#[derive(Debug, Clone)]
pub struct BaselineQuestion {
    /// Which hosts.
    pub scope: Scope,
    /// Whether to look for guests that have more.
    pub include_domains: bool,
    /// Whether to ask libvirt: for a model, and on every host for a verdict.
    pub verify: bool,
}

impl Cluster {
    /// A definition for each architecture and vendor, with a digest of the answer.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn baseline(
        &self,
        question: &BaselineQuestion,
        options: ReadOptions,
    ) -> Result<(BaselineAnswer, String), ScopeError> {
        let views = self.read(&question.scope, options).await?;
        if views.is_empty() {
            return Err(none_of_arch(&question.scope));
        }
        let map = self.cpu_map().await;
        let (mut refused, mut counted, mut missing) = (BTreeMap::new(), Vec::new(), Vec::new());
        for view in &views {
            if let Some((key, refusal)) = refusal_of(view) {
                let group = refused.entry(key).or_insert_with(|| (refusal, Vec::new()));
                group.1.push(view);
                continue;
            }
            match features_of(view, Layer::Guest) {
                Ok(features) => counted.push(features),
                Err(problem) => missing.push(MissingHost { name: view.entry.name.clone(), problem }),
            }
        }
        let detail = Detail { hosts: true, ..Detail::default() };
        let groups = common_flags(Layer::Guest, &counted, &detail);
        let by_name: BTreeMap<&str, &HostView> =
            views.iter().map(|view| (view.entry.name.as_str(), view)).collect();
        let found =
            groups.into_iter().map(|group| self.of_group(group, &by_name, question, &map, options.deadline));
        let mut baselines = join_all(found).await;
        baselines.extend(refused.into_iter().map(|((arch, vendor), (refusal, views))| CpuBaseline {
            arch,
            vendor: (!vendor.is_empty()).then_some(vendor),
            hosts: views.iter().map(|view| view.entry.name.clone()).collect(),
            refusal: Some(refusal),
            ..CpuBaseline::default()
        }));
        baselines.sort_by(|a, b| (&a.arch, &a.vendor).cmp(&(&b.arch, &b.vendor)));
        let answer = answer(&views, baselines, missing);
        let generation = generation(question, &answer);
        Ok((answer, generation))
    }

    /// What this machine's libvirt says of models; empty where there is none.
    async fn cpu_map(&self) -> Result<CpuMap, String> {
        let directory = self.cpu_map_directory.clone();
        let read = timeout(CPU_MAP_PATIENCE, spawn_blocking(move || read_cpu_map(&directory))).await;
        match read {
            Ok(Ok(Ok(map))) => Ok(map),
            Ok(Ok(Err(error))) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Err(format!("{error}{}", cause.unwrap_or_default()))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("{} does not answer", self.cpu_map_directory.display())),
        }
    }

    async fn of_group(
        &self,
        group: FlagsGroup,
        views: &BTreeMap<&str, &HostView>,
        question: &BaselineQuestion,
        map: &Result<CpuMap, String>,
        deadline: Instant,
    ) -> CpuBaseline {
        let members: Vec<Member<'_>> =
            group.hosts.iter().filter_map(|name| Member::of(views.get(name.as_str())?)).collect();
        let hosts: Vec<GuestHost<'_>> = members.iter().map(Member::as_host).collect();
        let mut notes = Vec::new();
        let mut known = map.as_ref().map(Known::of_map).unwrap_or_default();
        known.add_hosts(&hosts);
        let fetcher = self.cache.fetcher().filter(|_| question.verify);
        let half = (deadline - Instant::now().min(deadline)) / PROPOSAL_SHARE;
        let proposed = match fetcher {
            Some(fetcher) => propose(fetcher, &members, Instant::now() + half, &mut notes).await,
            None => None,
        };
        let vendor = libvirt_vendor(&members, group.vendor.as_deref());
        let mut composed = None;
        if let Some((model, stands)) = proposed {
            // Told by libvirt and the hosts alone: another release's files may know names that an older libvirt refuses.
            let mut told = Known::default();
            told.add(&model, stands.clone());
            told.add_hosts(&hosts);
            known.add(&model, stands);
            // One that another host does not know, or of another vendor, is no choice.
            composed = compose(&group.features, vendor, &hosts, &told, Some(&model)).ok();
            if composed.is_none() {
                notes.push(format!("libvirt proposed {model}, which not every host has; it was chosen here"));
            }
        }
        let composed = composed.map_or_else(|| compose(&group.features, vendor, &hosts, &known, None), Ok);
        notes.extend(emulating(&members));
        if let Err(problem) = map
            && composed.as_ref().is_ok_and(|composed| !matches!(composed.source, Source::Libvirt { .. }))
        {
            notes.push(format!("only the hosts' own models could be chosen from: {problem}"));
        }
        let mut baseline = of_facts(group);
        match composed {
            Ok(composed) => {
                self.finish(&mut baseline, composed, &members, question, (&known, deadline), &mut notes)
                    .await;
            }
            Err(refusal) => baseline.refusal = Some(refusal.to_string()),
        }
        baseline.notes = notes;
        baseline
    }

    async fn finish(
        &self,
        baseline: &mut CpuBaseline,
        composed: Composed,
        members: &[Member<'_>],
        question: &BaselineQuestion,
        (known, deadline): (&Known, Instant),
        notes: &mut Vec<String>,
    ) {
        let fetcher = self.cache.fetcher();
        let asked = fetcher.filter(|_| question.verify);
        let definition =
            Definition { features: &baseline.features, cpu: &composed.cpu, text: render::cpu(&composed.cpu) };
        // One after the other: a host's reader answers one question at a time, and who waits for it hears that it hangs.
        let definition = &definition;
        let ask = |member| async move {
            let said = verdict(asked, member, definition, deadline).await;
            let domains = if question.include_domains {
                domains(fetcher, member, deadline).await
            } else {
                (Vec::new(), None)
            };
            (member, said, domains)
        };
        let mut verdicts = Vec::with_capacity(members.len());
        for (member, said, (domains, problem)) in join_all(members.iter().map(ask)).await {
            verdicts.push(said);
            let found = exceeding(&member.as_host(), &domains, &baseline.features, known);
            let room = EXCEEDING_MAX.saturating_sub(baseline.exceeding_domains.len());
            baseline.exceeding_domain_count += u32::try_from(found.len()).unwrap_or(u32::MAX);
            baseline.exceeding_domains.extend(found.into_iter().take(room));
            let unseen = problem.map(|problem| MissingHost { name: member.name().to_owned(), problem });
            baseline.unseen_domains.extend(unseen);
        }
        let (told, more) = forms(&composed.cpu);
        notes.extend(more);
        baseline.verdicts = verdicts;
        baseline.forms = Some(told);
        baseline.model_source = Some(composed.source.to_string());
        baseline.cpu = Some(composed.cpu);
    }
}

/// A host of an architecture without baselines, as (architecture, vendor), and why there are none.
fn refusal_of(view: &HostView) -> Option<((String, String), String)> {
    let inventory = &view.record.as_ref()?.inventory;
    let arch = inventory.arch()?;
    let refusal = refusal_of_arch(arch)?;
    let vendor = inventory.cpu.as_ref().and_then(|cpu| cpu.vendor.clone()).unwrap_or_default();
    Some(((arch.to_owned(), vendor), refusal.to_string()))
}

/// libvirt's word for the vendor; None if nobody says it.
fn libvirt_vendor<'a>(members: &[Member<'a>], of_group: Option<&str>) -> Option<&'a str> {
    let told =
        members.iter().find_map(|member| member.guest.vendor.as_deref()).filter(|vendor| is_name(vendor));
    told.or_else(|| vendor::to_libvirt(of_group?))
}

/// What to know where only some hosts have KVM: their guests cannot go to the others, whatever the CPUs.
fn emulating(members: &[Member<'_>]) -> Option<String> {
    let without: Vec<_> =
        members.iter().filter(|member| member.guest.virt_type.as_deref() == Some("qemu")).collect();
    let first = without.first().filter(|_| without.len() < members.len())?;
    let more = match without.len() - 1 {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!(
        "{}{more} cannot run KVM guests, only emulated ones; the others' do not go there",
        first.name()
    ))
}

/// Hex digest of the question and of all that is answered.
fn generation(question: &BaselineQuestion, answer: &BaselineAnswer) -> String {
    let mut bytes = format!("{question:?}").into_bytes();
    // Names and numbers: it can be written.
    bytes.extend(serde_json::to_vec(answer).unwrap_or_default());
    digest(&bytes)
}

fn of_facts(group: FlagsGroup) -> CpuBaseline {
    let FlagsGroup {
        arch,
        vendor,
        features,
        hosts,
        physical_address_bits,
        psabi_level,
        machine_types,
        usable_models,
        ..
    } = group;
    CpuBaseline {
        arch,
        vendor,
        hosts,
        features,
        physical_address_bits,
        psabi_level,
        machine_types,
        usable_models,
        ..CpuBaseline::default()
    }
}

fn answer(views: &[HostView], baselines: Vec<CpuBaseline>, missing: Vec<MissingHost>) -> BaselineAnswer {
    let left_out: BTreeSet<&str> = missing.iter().map(|host| host.name.as_str()).collect();
    let counted = || views.iter().filter(|view| !left_out.contains(view.entry.name.as_str()));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let stale: Vec<_> = counted().filter(|view| view.freshness != Freshness::Fresh).collect();
    // A host that never tells of its guests is nothing that may pass.
    let is_untold = |host: &MissingHost| host.problem.kind == ProblemKind::Unsupported;
    let is_known = |verdict: &BaselineVerdict| !matches!(verdict.verdict, Verdict::Unknown { .. });
    let all_known = baselines
        .iter()
        .all(|one| one.verdicts.iter().all(is_known) && one.unseen_domains.iter().all(is_untold));
    let host_count = counted().count();
    BaselineAnswer {
        complete: missing.is_empty() && stale.is_empty() && all_known,
        baselines,
        host_count: count(host_count),
        fresh_host_count: count(host_count - stale.len()),
        hosts: stale.into_iter().map(HostView::standing).collect(),
        missing,
    }
}
