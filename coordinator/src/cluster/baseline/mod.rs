//! Which CPU can a guest have on every host of a scope?

mod asked;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use tokio::{task::spawn_blocking, time::Instant};
use vmuster_proto::{
    libvirt::cpu_map::CpuMap,
    model::{
        BaselineAnswer, BaselineVerdict, CpuBaseline, FlagsGroup, Freshness, Layer, MissingHost, ProblemKind,
        Verdict,
    },
};

use super::{
    Cluster,
    flags::{features_of, generation_of},
    none_of_arch,
};
use crate::{
    baseline::{Composed, GuestHost, Known, Source, compose, exceeding, forms, refusal_of_arch},
    cache::{HostView, ReadOptions},
    cpu_map::read_cpu_map,
    flags::{Detail, common_flags},
    hosts::{Scope, ScopeError},
};
use asked::{Member, domains, propose, verdict};

/// Of the time there is at most this share goes to finding a model; the rest is for every host's verdict.
const PROPOSAL_SHARE: u32 = 2;

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
    /// A definition for each architecture and vendor, with a digest that changes whenever hosts' facts do.
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
        let generation = generation_of(&format!("{question:?}"), &views);
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
        Ok((answer(&views, baselines, missing), generation))
    }

    /// What this machine's libvirt says of models; empty where there is none.
    async fn cpu_map(&self) -> Result<CpuMap, String> {
        let directory = self.cpu_map_directory.clone();
        let read = spawn_blocking(move || read_cpu_map(&directory)).await;
        match read {
            Ok(Ok(map)) => Ok(map),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Err(format!("{error}{}", cause.unwrap_or_default()))
            }
            Err(error) => Err(error.to_string()),
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
        // libvirt's own choice, told by libvirt alone: another release's files may say otherwise.
        let composed = if let Some((model, stands)) = proposed {
            let mut told = Known::default();
            told.add(&model, stands.clone());
            told.add_hosts(&hosts);
            known.add(&model, stands);
            compose(&group.features, libvirt_vendor(&members), &hosts, &told, Some(&model))
        } else {
            compose(&group.features, libvirt_vendor(&members), &hosts, &known, None)
        };
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
        let features = &baseline.features;
        let verdicts =
            join_all(members.iter().map(|member| verdict(asked, member, features, &composed.cpu, deadline)));
        let domains = async {
            if question.include_domains {
                join_all(members.iter().map(|member| domains(fetcher, member, deadline))).await
            } else {
                Vec::new()
            }
        };
        let (verdicts, domains) = futures::join!(verdicts, domains);
        for (member, domains) in members.iter().zip(domains) {
            match domains {
                Ok(domains) => {
                    baseline.exceeding_domains.extend(exceeding(
                        &member.as_host(),
                        &domains,
                        &baseline.features,
                        known,
                    ));
                }
                Err(problem) => {
                    baseline.unseen_domains.push(MissingHost { name: member.name().to_owned(), problem });
                }
            }
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

/// libvirt's word for the vendor; None if hosts do not say, or not the same.
fn libvirt_vendor<'a>(members: &[Member<'a>]) -> Option<&'a str> {
    let mut vendors = members.iter().map(|member| member.guest.vendor.as_deref());
    let first = vendors.next().flatten()?;
    vendors.all(|vendor| vendor == Some(first)).then_some(first)
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
