//! Where can this guest go? Everybody concerned is asked anew.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};
use vmuster_proto::{
    libvirt::{XmlError, domain, render},
    model::{
        ClaimReport, CpuDefinition, Domain, Finding, Freshness, HostSettings, Issue, MigrationAnswer,
        MigrationVerdict, Problem, ProblemKind, Usage, VerdictKind,
    },
};

use super::{Cluster, is_of_arch, none_of_arch};
use crate::{
    accounting::Profile,
    cache::{HostRecord, HostView, ReadOptions},
    fetch::CpuRefused,
    hosts::{HostEntry, Scope, ScopeError},
    migration::{Comparison, GuestFacts, HostFacts, NoComparison, check, comparable},
};

/// A guest to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guest {
    /// A domain on a host.
    OnHost {
        /// A registered name.
        host: String,
        /// UUID or name.
        domain: String,
    },
    /// A definition: a libvirt `<domain>` element.
    Xml(String),
}

/// A question about a move.
#[derive(Debug, Clone)]
pub struct MigrationQuestion {
    /// What would move.
    pub guest: Guest,
    /// Where to; the guest's own host is left out.
    pub scope: Scope,
}

/// The claims on a host of this name. Asked after the host, never before: else what is claimed meanwhile would be missed.
pub type ClaimsOn<'a> = &'a (dyn Fn(&str) -> Vec<ClaimReport> + Send + Sync);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The scope is wrong.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The definition makes no sense.
    #[error("the definition makes no sense: {0}")]
    Definition(XmlError),
    /// The guest's host cannot be asked for it.
    #[error("the guests of '{host}' are not known: {detail}")]
    Source {
        /// Which.
        host: String,
        /// Why.
        detail: String,
    },
    /// No such guest.
    #[error(
        "there is no domain '{domain}' on '{host}'; `vmuster hosts show {host} -o json` lists those it has"
    )]
    NotFound {
        /// Where.
        host: String,
        /// UUID or name.
        domain: String,
    },
    /// Which of them?
    #[error("{count} domains on '{host}' are called '{domain}': give a UUID")]
    Ambiguous {
        /// Where.
        host: String,
        /// The name.
        domain: String,
        /// How many.
        count: usize,
    },
}

/// The same for all candidates.
struct Move<'a> {
    domain: &'a Domain,
    /// It may be long, and hosts many.
    cpu_xml: String,
    source: Option<&'a Found>,
    claims_on: ClaimsOn<'a>,
}

/// One host as it was found.
struct Found {
    view: HostView,
    record: Option<Arc<HostRecord>>,
    usage: Option<Usage>,
    issues: Vec<Issue>,
    doubt: Option<String>,
    /// Why its agent gave no usage: whoever did not answer is not asked another question.
    silent: Option<Problem>,
    settings: HostSettings,
    profile: Profile,
}

impl Cluster {
    /// For each candidate whether the guest can go there, and why not.
    ///
    /// # Errors
    /// The scope or the guest is wrong, or its host cannot be asked.
    pub async fn check_migration(
        &self,
        question: &MigrationQuestion,
        claims_on: ClaimsOn<'_>,
        options: ReadOptions,
    ) -> Result<MigrationAnswer, MigrationError> {
        let mut hosts = question.scope.select(&self.registry.load())?;
        let (domain, source) = match &question.guest {
            Guest::Xml(text) => (domain::of_caller(text).map_err(MigrationError::Definition)?, None),
            Guest::OnHost { host, domain } => {
                let entry = Arc::clone(&Scope::of(host).select(&self.registry.load())?[0]);
                let found = self.found(&entry, sooner(options)).await;
                (find(&entry.name, domain, &found)?, Some(found))
            }
        };
        let source_host = source.as_ref().map(|source| source.view.entry.name.clone());
        hosts.retain(|host| Some(&host.name) != source_host.as_ref());
        if hosts.is_empty() {
            let own = source_host.unwrap_or_default();
            return Err(
                ScopeError::Empty(format!("the guest is on {own}, and no other host is in scope")).into()
            );
        }
        let source = source.as_ref();
        let asked_move = Move { domain: &domain, cpu_xml: cpu_question(&domain), source, claims_on };
        let asked = hosts.iter().map(|host| self.judge(&asked_move, host, options));
        let judged = join_all(asked).await;
        let arch = question.scope.arch.as_deref();
        // Only now is it known which hosts are of it.
        let verdicts: Vec<_> = judged
            .into_iter()
            .filter(|(view, _)| is_of_arch(view, arch))
            .map(|(view, findings)| MigrationVerdict::of(view.standing(), findings))
            .collect();
        if verdicts.is_empty() {
            return Err(none_of_arch(&question.scope).into());
        }
        Ok(MigrationAnswer { domain, source_host, verdicts })
    }

    /// A host's facts and figures now.
    async fn found(&self, entry: &Arc<HostEntry>, options: ReadOptions) -> Found {
        let (view, usage) = self.read_anew(entry, options).await;
        let record = view.record.clone();
        let mut issues: Vec<Issue> = record.iter().flat_map(|record| record.issues.iter().cloned()).collect();
        let mut doubts = Vec::new();
        let mut silent = None;
        if let Some(problem) = view.problem.as_ref().filter(|_| view.freshness != Freshness::Fresh) {
            let Problem { kind, detail } = problem;
            doubts.push(match &record {
                Some(_) => format!("its facts are the last known ones ({kind}: {detail})"),
                None => format!("nothing is known of this host ({kind}: {detail})"),
            });
        }
        let usage = match usage {
            Some(Ok(fetched)) => {
                issues.extend(fetched.issues);
                Some(fetched.usage)
            }
            Some(Err(problem)) => {
                // What was true at the last reading is no help: guests come and go.
                if view.problem.as_ref().is_none_or(|known| known.detail != problem.detail) {
                    let Problem { kind, detail } = &problem;
                    doubts.push(format!("what is used there now is not known ({kind}: {detail})"));
                }
                silent = Some(problem);
                None
            }
            None => record.as_ref().and_then(|record| record.saved_usage.as_deref().cloned()),
        };
        let doubt = (!doubts.is_empty()).then(|| doubts.join("; "));
        let registry = self.registry.load();
        let (settings, profile) = (registry.settings_of(entry), registry.profile());
        Found { view, record, usage, issues, doubt, silent, settings, profile }
    }

    async fn judge(
        &self,
        asked: &Move<'_>,
        host: &Arc<HostEntry>,
        options: ReadOptions,
    ) -> (HostView, Vec<Finding>) {
        let Move { domain, cpu_xml, source, claims_on } = asked;
        let found = self.found(host, sooner(options)).await;
        let Some(facts) = found.facts(None) else {
            let detail = found.doubt.unwrap_or_else(|| "nothing is known of this host".to_owned());
            return (found.view, vec![Finding::new("freshness", VerdictKind::Unknown, detail)]);
        };
        let comparison = self.compare(domain, cpu_xml, &facts, &found, options).await;
        let claims = claims_on(facts.name);
        let facts = HostFacts { comparison: comparison.as_ref(), claims: &claims, ..facts };
        let source = source.and_then(|source| source.facts(None));
        let findings = check(&GuestFacts { domain }, source.as_ref(), &facts);
        (found.view, findings)
    }

    /// None: there is nothing to compare, or nobody to ask.
    async fn compare(
        &self,
        domain: &Domain,
        cpu_xml: &str,
        facts: &HostFacts<'_>,
        found: &Found,
        options: ReadOptions,
    ) -> Option<Comparison> {
        comparable(domain, facts)?;
        let (fetcher, address) = (self.cache.fetcher()?, found.view.entry.address.as_ref()?);
        if let Some(problem) = &found.silent {
            return Some(Err(NoComparison::Unanswered(problem.clone())));
        }
        let asked = fetcher.try_cpu(address, cpu_xml);
        let late = || Problem::new(ProblemKind::Timeout, "no answer before the caller's deadline");
        let said = timeout_at(options.deadline, asked).await.unwrap_or_else(|_| Err(late()));
        Some(match said {
            Ok(compared) => compared.map_err(|CpuRefused(words)| NoComparison::Refused(words)),
            Err(problem) => Err(NoComparison::Unanswered(problem)),
        })
    }
}

/// What hosts' libvirts are asked about the guest's CPU; empty without one. How wide addresses are another rule judges:
/// libvirt's versions do not agree on how it is written.
fn cpu_question(domain: &Domain) -> String {
    let asked = domain.cpu.as_ref().map(|definition| CpuDefinition {
        physical_address_bits: None,
        physical_address_mode: None,
        ..definition.clone()
    });
    asked.as_ref().map(render::cpu).unwrap_or_default()
}

/// The last quarter is for the question about the CPU. Of the rest usage takes two thirds at most, which is half of the
/// whole.
fn sooner(options: ReadOptions) -> ReadOptions {
    let now = Instant::now();
    let rest = options.deadline.saturating_duration_since(now);
    ReadOptions { deadline: now + rest / 4 * 3, ..options }
}

impl Found {
    /// None: nothing is known of it.
    fn facts<'a>(&'a self, comparison: Option<&'a Comparison>) -> Option<HostFacts<'a>> {
        Some(HostFacts {
            name: &self.view.entry.name,
            inventory: &self.record.as_ref()?.inventory,
            usage: self.usage.as_ref(),
            issues: &self.issues,
            doubt: self.doubt.as_deref(),
            maintenance: self.view.entry.maintenance,
            settings: &self.settings,
            profile: self.profile,
            claims: &[],
            comparison,
        })
    }
}

/// The guest by its UUID, else by its name.
fn find(host: &str, wanted: &str, found: &Found) -> Result<Domain, MigrationError> {
    let Some(domains) = found.usage.as_ref().and_then(|usage| usage.domains.as_deref()) else {
        let issue = found.issues.iter().find(|issue| issue.section.starts_with("usage"));
        let why = issue.map(|issue| issue.detail.clone());
        let missing = || found.view.problem.as_ref().map(|problem| problem.detail.clone());
        let detail = found.doubt.clone().or(why).or_else(missing);
        let detail = detail.unwrap_or_else(|| "the host does not report its guests".to_owned());
        return Err(MigrationError::Source { host: host.to_owned(), detail });
    };
    if let Some(domain) = domains.iter().find(|domain| domain.uuid.eq_ignore_ascii_case(wanted)) {
        return Ok(domain.clone());
    }
    let named: Vec<_> = domains.iter().filter(|domain| domain.name == wanted).collect();
    match named.as_slice() {
        [domain] => Ok((*domain).clone()),
        [] => Err(MigrationError::NotFound { host: host.to_owned(), domain: wanted.to_owned() }),
        several => Err(MigrationError::Ambiguous {
            host: host.to_owned(),
            domain: wanted.to_owned(),
            count: several.len(),
        }),
    }
}

#[cfg(test)]
#[path = "migration_tests.rs"]
mod tests;
