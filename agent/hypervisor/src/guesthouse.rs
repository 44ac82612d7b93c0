//! Guests, from libvirt: nothing here looks at storage, so that storage which hangs hides no guest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use virt::sys;
use vmuster_agent::hypervisor::{
    domains::{DOMAINS, measure},
    figures::DomainFigures,
    protocol::DomainsRead,
};
use vmuster_proto::libvirt::domain;
use vmuster_proto::model::{Domain, Issue, IssueKind};

use crate::{
    definitions::Outline,
    libvirt::{failure, raw, raw::Record, stats},
    limits::CALL_LIMIT,
    questions::Questions,
};

pub(crate) const STATS: &str = "virConnectGetAllDomainStats";

/// Who asks waits for 2.5 s. What took longer than this is kept for the next question, and read anew after its answer.
const SLOW_MIN: Duration = Duration::from_secs(1);

/// How old an answer from memory may be.
const SLOW_AGE_MAX: Duration = Duration::from_secs(60);

/// Guests that took long to read.
#[derive(Debug)]
pub(crate) struct Slow {
    read: DomainsRead,
    begun: Instant,
    is_told: bool,
}

/// One guest's figures, and what its definition must agree with.
struct Measured {
    record: Record,
    figures: DomainFigures,
    outline: Outline,
}

impl Questions {
    /// # Errors
    /// libvirt does not say which domains there are.
    pub(crate) fn domains(&mut self) -> Result<DomainsRead, Issue> {
        if let Some(slow) = self.slow.as_mut().filter(|slow| slow.begun.elapsed() < SLOW_AGE_MAX) {
            slow.is_told = true;
            return Ok(DomainsRead { age: slow.begun.elapsed(), ..slow.read.clone() });
        }
        self.read_domains()
    }

    /// After an answer from memory, while nobody waits: what the next is told.
    pub(crate) fn refresh_if_slow(&mut self) {
        if self.slow.as_ref().is_some_and(|slow| slow.is_told) {
            // What went wrong is told to who asks next.
            let _ = self.read_domains();
        }
    }

    fn read_domains(&mut self) -> Result<DomainsRead, Issue> {
        let begun = Instant::now();
        let read = self.read_domains_now()?;
        let is_slow = begun.elapsed() >= SLOW_MIN;
        self.slow = is_slow.then(|| Slow { read: read.clone(), begun, is_told: false });
        Ok(read)
    }

    /// One call for what libvirt knows of all, one for the disks of those that run, and one for each definition that may
    /// have changed.
    fn read_domains_now(&mut self) -> Result<DomainsRead, Issue> {
        let measured = self.measured()?;
        let changed = self.daemon.changes();
        let now = Instant::now();
        if std::mem::replace(&mut self.definitions_of, self.daemon.opened()) != self.daemon.opened() {
            // Nobody told of changes between two connections.
            self.definitions.retain(|_| false);
        }
        let seen = measured.iter().map(|(uuid, one)| (uuid.as_str(), &one.outline));
        let due = self.definitions.due(seen, &changed, now);
        self.definitions.retain(|uuid| measured.contains_key(uuid) && !due.contains(uuid));
        let mut read = DomainsRead::default();
        let mut gone = BTreeSet::new();
        for uuid in due {
            let Some(one) = measured.get(uuid) else { continue };
            match self.definition(&one.record) {
                Ok(domain) => self.definitions.keep(domain, one.outline.clone(), now),
                Err(None) => drop(gone.insert(uuid.to_owned())),
                Err(Some(issue)) => read.issues.push(issue),
            }
        }
        for (uuid, one) in measured.iter().filter(|(uuid, _)| !gone.contains(*uuid)) {
            let known = self.definitions.get(uuid).cloned();
            let named = || Domain { uuid: uuid.clone(), name: one.record.name.clone(), ..Domain::default() };
            let (mut domain, list) = match known {
                Some(domain) => (domain, &mut read.domains),
                None => (named(), &mut read.undefined),
            };
            measure(&mut domain, &one.figures);
            list.push(domain);
        }
        Ok(read)
    }

    fn measured(&mut self) -> Result<BTreeMap<String, Measured>, Issue> {
        let groups = sys::VIR_DOMAIN_STATS_STATE | sys::VIR_DOMAIN_STATS_BALLOON | sys::VIR_DOMAIN_STATS_VCPU;
        // A guest that is busy with something else tells less, instead of holding up all others.
        let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
        let records =
            self.daemon.call(STATS, CALL_LIMIT, |connect| raw::all_domain_stats(connect, groups, flags))?;
        // Of those that do not run libvirt would open each image, on whatever storage.
        let active = flags | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE;
        let blocks = self.daemon.call(STATS, CALL_LIMIT, |connect| {
            raw::all_domain_stats(connect, sys::VIR_DOMAIN_STATS_BLOCK, active)
        })?;
        let mut blocks: BTreeMap<String, Vec<(String, raw::Value)>> =
            blocks.into_iter().map(|record| (record.uuid, record.values)).collect();
        let transient = self.daemon.call("virConnectListAllDomains", CALL_LIMIT, |connect| {
            let transient = connect.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_TRANSIENT)?;
            transient.iter().map(virt::domain::Domain::uuid_string).collect::<Result<BTreeSet<_>, _>>()
        })?;
        let measured = records.into_iter().map(|mut record| {
            record.values.extend(blocks.remove(&record.uuid).unwrap_or_default());
            let mut figures = stats::figures(&record.values);
            figures.persistent = Some(!transient.contains(&record.uuid));
            let outline = Outline::of(&figures, stats::places(&record.values));
            (record.uuid.clone(), Measured { record, figures, outline })
        });
        Ok(measured.collect())
    }

    /// As it is now. Of a running one libvirt's "migratable" definition has the CPU that was asked for, and what another
    /// host must be able to run is the one it got. None: it went meanwhile.
    fn definition(&self, record: &Record) -> Result<Domain, Option<Issue>> {
        const CALL: &str = "virDomainGetXMLDesc";
        let section = || format!("{DOMAINS}[{}]", record.uuid);
        let text = self.daemon.within(CALL, CALL_LIMIT, || record.domain.xml_desc(0));
        let text = text.map_err(|error| {
            let is_gone = error.code().is(virt::error::ErrorNumber::NoDomain);
            (!is_gone).then(|| Issue { section: section(), ..failure::issue(CALL, &error) })
        })?;
        let malformed = |detail: String| Some(Issue::new(section(), CALL, IssueKind::Malformed, detail));
        let domain = domain::parse(&text).map_err(|error| malformed(error.to_string()))?;
        if domain.uuid == record.uuid {
            Ok(domain)
        } else {
            Err(malformed(format!("it is the definition of {}", domain.uuid)))
        }
    }
}
