//! One decision: who is asked before it, what it changes, when it is answered.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use vmuster_proto::model::{
    Completeness, DiskPlace, InstanceTemplate, PlaceAnswer, PlaceRequest, Purpose, Timestamp,
};

use super::{ClaimsError, PlaceError, Scheduler, VERIFICATIONS_MAX, answer, planner::Planner};
use crate::{
    claims::{
        self, Change, ChangeError, ClaimedDisk, ClaimedResources, Holdings, InstanceId, Lookup, NewClaim, Pending,
        Remembered, hold_until,
    },
    hosts::{Registry, Scope, registered},
    placement::{self, Batch, Decision, Demand, DiskDemand, FilterName, ForcedHost, Group, Profile, Taken, Then, WeigherName},
};

/// A request with the registry's names.
pub(super) struct Asked<'a> {
    pub(super) request: &'a PlaceRequest,
    pub(super) instances: Vec<InstanceId>,
    scope: Scope,
    batch: Batch,
}

impl<'a> Asked<'a> {
    pub(super) fn new(request: &'a PlaceRequest, registry: &Registry) -> Result<Self, PlaceError> {
        let names = request.forced_host.iter().chain(&request.hosts).cloned().collect::<BTreeSet<_>>();
        let scope = Scope {
            names: registered(&names, registry),
            exclude: registered(&request.exclude_hosts.iter().cloned().collect(), registry),
            ..Scope::default()
        };
        scope.check(registry)?;
        let name = |host: &String| Arc::<str>::from(host.as_str());
        let forced = request.forced_host.as_ref().map(|forced| {
            let named = registered(&BTreeSet::from([forced.clone()]), registry);
            ForcedHost {
                name: named.iter().next().map_or_else(|| name(forced), name),
                ignore_capacity: request.ignore_capacity,
            }
        });
        if request.ignore_capacity && forced.is_none() {
            let problem = "only goes with forced_host".to_owned();
            return Err(PlaceError::Invalid { field: "ignore_capacity", problem });
        }
        let admitted = (!request.hosts.is_empty()).then(|| scope.names.iter().map(name).collect());
        let uuids = request.groups.iter().flat_map(|group| &group.uuids);
        let instances = uuids.map(|uuid| {
            uuid.parse::<InstanceId>().map_err(|error| PlaceError::Invalid {
                field: "uuids",
                problem: error.to_string(),
            })
        });
        let batch = Batch {
            groups: groups(request),
            admitted,
            excluded: scope.exclude.iter().map(name).collect(),
            forced,
            completeness: match request.completeness {
                Completeness::All => placement::Completeness::All,
                Completeness::AtLeast(count) => placement::Completeness::AtLeast(count),
                Completeness::BestEffort => placement::Completeness::BestEffort,
            },
            profile: profile(request)?,
        };
        Ok(Self { request, instances: instances.collect::<Result<_, _>>()?, scope, batch })
    }

    /// The hosts it may be about.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }
}

/// Groups with equal templates share one demand.
fn groups(request: &PlaceRequest) -> Vec<Group> {
    let mut demands = HashMap::<Demand, Arc<Demand>>::new();
    let groups = request.groups.iter().map(|group| {
        let demand = demand(&group.template);
        let shared = demands.entry(demand.clone()).or_insert_with(|| Arc::new(demand));
        Group { demand: Arc::clone(shared), count: u32::try_from(group.uuids.len()).unwrap_or(u32::MAX) }
    });
    groups.collect()
}

/// A template as placement wants it.
pub(super) fn demand(template: &InstanceTemplate) -> Demand {
    let InstanceTemplate {
        vcpus,
        memory_bytes,
        disks,
        required_features,
        forbidden_features,
        cpu_model,
        arch,
        labels,
    } = template.clone();
    let disks = disks.into_iter().map(|disk| DiskDemand {
        size: disk.size_bytes,
        on: match disk.on {
            DiskPlace::Default => placement::DiskPlace::Default,
            DiskPlace::Pool(name) => placement::DiskPlace::Pool(name),
            DiskPlace::StorageClass(name) => placement::DiskPlace::Class(name),
        },
    });
    Demand {
        vcpus,
        memory: memory_bytes,
        disks: disks.collect(),
        required: required_features,
        forbidden: forbidden_features,
        cpu_model,
        arch,
        labels,
    }
}

fn profile(request: &PlaceRequest) -> Result<Profile, PlaceError> {
    let mut profile = match request.profile.name.as_str() {
        "" | "spread" => Profile::SPREAD,
        "pack" => Profile::PACK,
        other => {
            let problem = format!("'{other}' is none: pack or spread");
            return Err(PlaceError::Invalid { field: "profile.name", problem });
        }
    };
    let wrong = |problem: String| PlaceError::Invalid { field: "profile.multipliers", problem };
    for (name, multiplier) in &request.profile.multipliers {
        let weigher = WeigherName::ALL.into_iter().find(|weigher| weigher.as_str() == name);
        let weigher = weigher.ok_or_else(|| {
            let names: Vec<_> = WeigherName::ALL.iter().map(|weigher| weigher.as_str()).collect();
            wrong(format!("'{name}' is no weigher: {}", names.join(", ")))
        })?;
        profile = profile.with(weigher, *multiplier).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(profile)
}

/// What a try to promise came to.
enum Tried {
    /// It is in memory and on its way to the disk.
    Done(Box<PlaceAnswer>, Pending),
    /// These must be asked before it can be.
    Ask(Vec<String>),
}

impl Scheduler {
    pub(super) fn dry_run(&self, asked: &Asked<'_>) -> PlaceAnswer {
        let mut planner = self.planner();
        let decision = planner.solver.decide(asked.batch(), Then::Undo);
        answer::answer(asked, &decision, &mut planner)
    }

    /// The answer that was given to the same request.
    pub(super) async fn answered_before(
        &self,
        request: &PlaceRequest,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<Option<PlaceAnswer>, PlaceError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        let found = ledger.change(|holdings| {
            let found = self.lookup(holdings, request, digest)?;
            Ok::<_, PlaceError>((found, Vec::new()))
        });
        let (found, pending) = found.map_err(not_begun)?;
        if found.is_some() {
            pending.done(deadline.saturating_duration_since(Instant::now())).await.map_err(ClaimsError::from)?;
        }
        Ok(found)
    }

    fn lookup(
        &self,
        holdings: &Holdings,
        request: &PlaceRequest,
        digest: [u8; 32],
    ) -> Result<Option<PlaceAnswer>, PlaceError> {
        match holdings.requests.lookup(&request.request_id, &digest) {
            Lookup::New => Ok(None),
            Lookup::Same(remembered) => Ok((self.codec.decode)(&remembered.answer)),
            Lookup::Reused => Err(PlaceError::RequestIdReused(request.request_id.clone())),
        }
    }

    pub(super) async fn claim(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let mut before_no = true;
        for verification in 0.. {
            let only_fresh = verification >= VERIFICATIONS_MAX;
            let ask = match self.try_claim(asked, digest, only_fresh, before_no)? {
                Tried::Done(answer, pending) => return self.committed(asked, *answer, pending, deadline).await,
                Tried::Ask(hosts) => hosts,
            };
            if only_fresh {
                break;
            }
            // A second "no" after hosts were asked is one.
            before_no = verification == 0;
            self.ask_all(ask, deadline).await;
        }
        Err(PlaceError::Changed)
    }

    /// Answers when it is durable. If it cannot be kept, what was taken for it is given back.
    async fn committed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        answer: PlaceAnswer,
        pending: Pending,
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let hosts: BTreeSet<_> = answer.placements.iter().map(|placement| placement.host.clone()).collect();
        let ended = pending.done(deadline.saturating_duration_since(Instant::now())).await;
        if let Err(error) = ended {
            let count = asked.instances.len();
            tracing::error!(request_id = asked.request.request_id, count, "claims were not kept: {error}");
            self.account_anew(hosts);
            return Err(ClaimsError::from(error).into());
        }
        Ok(answer)
    }

    /// Accounts for these hosts anew: their claims have changed.
    pub(super) fn account_anew(&self, hosts: impl IntoIterator<Item = String>) {
        let mut planner = self.planner();
        self.with_book(|book| hosts.into_iter().for_each(|host| planner.refresh(&host, book)));
    }

    fn try_claim(
        &self,
        asked: &Asked<'_>,
        digest: [u8; 32],
        only_fresh: bool,
        before_no: bool,
    ) -> Result<Tried, PlaceError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        let now = self.cluster.cache().now();
        let until = hold_until(now, asked.request.hold)?;
        let mut planner = self.planner();
        let planner = &mut *planner;
        let tried = ledger.change(|holdings| {
            if let Some(answer) = self.lookup(holdings, asked.request, digest)? {
                return Ok((Ok(answer), Vec::new()));
            }
            no_conflicts(asked, planner, holdings)?;
            let decision = self.decide(asked, planner, now, only_fresh);
            let stale = if decision.is_granted {
                self.stale_chosen(&decision, planner, now)
            } else if before_no {
                self.stale_refusing(asked, planner, now)
            } else {
                Vec::new()
            };
            if !stale.is_empty() {
                if decision.is_granted {
                    give_back(asked, &decision, planner);
                }
                return Ok((Err(stale), Vec::new()));
            }
            let changes = self.promised(asked, decision, planner, holdings, (now, until), digest)?;
            Ok((Ok(changes.0), changes.1))
        });
        let (tried, pending) = tried.map_err(not_begun)?;
        Ok(match tried {
            Ok(answer) => Tried::Done(Box::new(answer), pending),
            Err(hosts) => Tried::Ask(hosts),
        })
    }

    fn decide(
        &self,
        asked: &Asked<'_>,
        planner: &mut Planner,
        now: Timestamp,
        only_fresh: bool,
    ) -> Decision {
        if !only_fresh {
            return planner.solver.decide(asked.batch(), Then::Keep);
        }
        let fresh = planner.hosts().filter(|(_, known)| known.is_fresh(now, self.usage_max_age));
        let fresh: BTreeSet<Arc<str>> = fresh.map(|(name, _)| name.into()).collect();
        let admitted = match &asked.batch().admitted {
            Some(admitted) => admitted.intersection(&fresh).cloned().collect(),
            None => fresh,
        };
        let batch = Batch { admitted: Some(admitted), ..asked.batch().clone() };
        planner.solver.decide(&batch, Then::Keep)
    }

    /// Chosen hosts that must be asked first.
    fn stale_chosen(&self, decision: &Decision, planner: &Planner, now: Timestamp) -> Vec<String> {
        let chosen: BTreeSet<_> = decision.placements.iter().flatten().map(|placed| &placed.host).collect();
        let is_stale = |host: &&&Arc<str>| {
            planner.host(host).is_some_and(|known| !known.is_fresh(now, self.usage_max_age))
        };
        chosen.iter().filter(is_stale).map(|host| host.to_string()).collect()
    }

    /// Hosts that must be asked before it is said that none has room: those that only lacked room when they were asked last.
    fn stale_refusing(&self, asked: &Asked<'_>, planner: &mut Planner, now: Timestamp) -> Vec<String> {
        let mut hosts = BTreeSet::new();
        let demands: BTreeSet<*const Demand> = BTreeSet::new();
        let mut seen = demands;
        for group in &asked.batch().groups {
            if seen.insert(Arc::as_ptr(&group.demand)) {
                hosts.extend(planner.solver.full_hosts(asked.batch(), &group.demand));
            }
        }
        let is_stale = |host: &Arc<str>| {
            planner.host(host).is_some_and(|known| !known.is_fresh(now, self.usage_max_age))
        };
        hosts.into_iter().filter(is_stale).map(|host| host.to_string()).collect()
    }

    /// The claims of a decision, and what is to be written with them.
    fn promised(
        &self,
        asked: &Asked<'_>,
        decision: Decision,
        planner: &mut Planner,
        holdings: &Holdings,
        (now, until): (Timestamp, Timestamp),
        digest: [u8; 32],
    ) -> Result<(PlaceAnswer, Vec<Change>), PlaceError> {
        let mut answer = answer::answer(asked, &decision, planner);
        let mut changes = Vec::new();
        if decision.is_granted {
            match holdings.book.admit(new_claims(asked, &decision, now, until)) {
                Ok(admitted) => changes = admitted,
                Err(conflict) => {
                    give_back(asked, &decision, planner);
                    return Err(conflict.into());
                }
            }
            for (placement, change) in answer.placements.iter_mut().zip(&changes) {
                if let Change::Put(claim) = change {
                    placement.claim_id = claim.id.to_string();
                    let disks: Vec<_> = claim.resources.disks.iter().map(|disk| {
                        (placement::PoolKey::new(disk.pool.as_str()), disk.size_bytes)
                    }).collect();
                    planner.charge(&claim.host, claim.instance, &disks);
                }
            }
            answer.expires_at = Some(until);
        }
        let remembered = Remembered { body_digest: digest, answer: (self.codec.encode)(&answer), when: now };
        changes.extend(holdings.requests.remember(&asked.request.request_id, remembered));
        Ok((answer, changes))
    }
}

fn not_begun(error: ChangeError<PlaceError>) -> PlaceError {
    match error {
        ChangeError::Refused(error) => error,
        busy @ (ChangeError::Busy | ChangeError::Closed) => ClaimsError::Busy(busy.to_string()).into(),
    }
}

/// An instance that is somewhere already is not placed again, unless it moves.
fn no_conflicts(asked: &Asked<'_>, planner: &Planner, holdings: &Holdings) -> Result<(), PlaceError> {
    if asked.request.purpose == Purpose::Move {
        return Ok(());
    }
    for instance in &asked.instances {
        if let Some(claim) = holdings.book.of(*instance).next() {
            return Err(claims::Conflict {
                instance: *instance,
                host: claim.host.clone(),
                id: Some(claim.id),
                same_host: false,
                hosts: 1,
            }
            .into());
        }
        if let Some(host) = planner.hosts_of(*instance).first() {
            return Err(PlaceError::Exists { uuid: instance.to_string(), host: host.clone() });
        }
    }
    Ok(())
}

/// What was placed, in the request's order: instance, its demand, where.
fn placed<'d>(
    asked: &'d Asked<'_>,
    decision: &'d Decision,
) -> impl Iterator<Item = (InstanceId, &'d Demand, &'d placement::Placed)> {
    let demands = asked.batch().groups.iter();
    let demands = demands.flat_map(|group| std::iter::repeat_n(&*group.demand, group.count as usize));
    let all = asked.instances.iter().zip(demands).zip(&decision.placements);
    all.filter_map(|((instance, demand), placed)| Some((*instance, demand, placed.as_ref()?)))
}

fn give_back(asked: &Asked<'_>, decision: &Decision, planner: &mut Planner) {
    for (_, demand, placed) in placed(asked, decision) {
        planner.solver.release(&placed.host, &Taken::of(demand, placed));
    }
}

fn new_claims(
    asked: &Asked<'_>,
    decision: &Decision,
    created_at: Timestamp,
    expires_at: Timestamp,
) -> Vec<NewClaim> {
    let purpose = match asked.request.purpose {
        Purpose::New => claims::Purpose::New,
        Purpose::Move => claims::Purpose::Move,
    };
    let mut signatures = HashMap::<*const Demand, String>::new();
    let claim = |(instance, demand, placed): (InstanceId, &Demand, &placement::Placed)| {
        let signature = signatures.entry(std::ptr::from_ref(demand)).or_insert_with(|| signature(demand));
        let disks = demand.disks.iter().zip(&placed.disks).filter_map(|(disk, pool)| {
            Some(ClaimedDisk { pool: pool.as_ref()?.as_str().to_owned(), size_bytes: disk.size })
        });
        NewClaim {
            instance,
            host: placed.host.to_string(),
            resources: ClaimedResources {
                vcpus: u64::from(demand.vcpus),
                memory_bytes: demand.memory,
                disks: disks.collect(),
            },
            purpose,
            request_id: asked.request.request_id.clone(),
            signature: signature.clone(),
            groups: Vec::new(),
            over_committed: placed.is_over_committed,
            created_at,
            expires_at,
        }
    };
    placed(asked, decision).map(claim).collect()
}

/// Characters of a signature: enough to tell what one cluster asks for apart.
const SIGNATURE_LENGTH: usize = 16;

fn signature(demand: &Demand) -> String {
    let digest = Sha256::digest(format!("{demand:?}"));
    let mut text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(SIGNATURE_LENGTH);
    text
}

/// Filters whose "no" may be over when the host is asked.
pub(super) const OF_ROOM: [FilterName; 3] = [FilterName::Vcpus, FilterName::Memory, FilterName::Disk];
