//! One decision: who is asked before it, what it changes, when it is answered.

use std::{borrow::Cow, collections::BTreeSet, mem, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use vmuster_proto::model::{PlaceAnswer, PlaceRequest, Purpose, Timestamp};

use super::{
    ClaimsError, PlaceError, Scheduler, VERIFICATIONS_MAX, answer,
    asked::Asked,
    hints::{Hinted, Hints},
    known::Young,
    leaving::{self, Leaving},
    planner::Planner,
    promised::{new_claims, placed},
};
use crate::{
    claims::{self, Change, ChangeError, CommitError, Holdings, Lookup, Pending, Remembered, hold_until},
    placement::{Batch, Decision, Demand, Taken, Then},
};

/// A disk that hangs for longer keeps nobody waiting: its callers' deadlines are over.
const COMMIT_PATIENCE: Duration = Duration::from_secs(3600);

/// When hosts are accounted for anew after a change of claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    /// What is given back counts until it is durable: else it could be promised twice.
    Always,
    /// What was taken was taken at once.
    IfFailed,
}

/// What a try to promise came to.
enum Tried {
    /// It is in memory and on its way to the disk.
    Done(Box<PlaceAnswer>, Pending),
    /// These must be asked before it can be, or before it is refused.
    Ask { hosts: Vec<String>, for_no: bool },
}

impl Scheduler {
    pub(super) fn dry_run(&self, asked: &Asked<'_>) -> PlaceAnswer {
        let now = self.cluster.cache().now();
        let mut planner = self.planner();
        let batch = self.with_book(|book| asked.batch_for(&planner, book, &Leaving::default()));
        let before = answer::before(asked, &batch, &mut planner);
        let mut hints = Hints::default();
        let decision = hints.decide_now(asked, &batch, &mut planner, Then::Undo, now);
        let mut answer = answer::answer(asked, &decision, &planner, before);
        hints.tell(&mut answer);
        self.with_book(|book| leaving::nominate(asked, &mut planner, book, now, &mut answer));
        answer
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
            pending
                .done(deadline.saturating_duration_since(Instant::now()))
                .await
                .map_err(ClaimsError::from)?;
        }
        Ok(found)
    }

    fn lookup(
        &self,
        holdings: &Holdings,
        request: &PlaceRequest,
        digest: [u8; 32],
    ) -> Result<Option<PlaceAnswer>, PlaceError> {
        match holdings.requests.lookup(&request.request_id, &digest, self.cluster.cache().now()) {
            Lookup::New => Ok(None),
            Lookup::Same(remembered) => {
                let answer = (self.codec.decode)(&remembered.answer);
                // Never as if it had not been answered: it would be promised twice.
                answer.map(Some).ok_or_else(|| PlaceError::Unreadable(request.request_id.clone()))
            }
            Lookup::Reused => Err(PlaceError::RequestIdReused(request.request_id.clone())),
        }
    }

    pub(super) async fn claim(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let begun = self.cluster.cache().now();
        let mut before_no = true;
        let mut hints = Hints::default();
        for verification in 0.. {
            let only_fresh = verification >= VERIFICATIONS_MAX;
            let (ask, for_no) =
                match self.try_claim((asked, &mut hints), digest, begun, only_fresh, before_no)? {
                    Tried::Done(answer, pending) => return self.committed(*answer, pending, deadline).await,
                    Tried::Ask { hosts, for_no } => (hosts, for_no),
                };
            if only_fresh {
                break;
            }
            // A second "no", after all that suit were asked, is one.
            before_no &= !for_no;
            self.ask_all(ask, deadline).await;
        }
        Err(PlaceError::Changed)
    }

    /// Answers when it is durable. If it cannot be kept, what was taken for it is given back.
    async fn committed(
        self: &Arc<Self>,
        answer: PlaceAnswer,
        pending: Pending,
        deadline: Instant,
    ) -> Result<PlaceAnswer, PlaceError> {
        let hosts = answer.placements.iter().map(|placement| placement.host.clone()).collect();
        self.end(pending, Anew::IfFailed, hosts, deadline).await?;
        Ok(answer)
    }

    /// Accounts for the hosts of a change of claims anew where that is needed, when it is durable or is not, whoever waits.
    pub(super) fn ending(
        self: &Arc<Self>,
        pending: Pending,
        anew: Anew,
        hosts: BTreeSet<String>,
    ) -> JoinHandle<Result<(), CommitError>> {
        let scheduler = Arc::clone(self);
        tokio::spawn(async move {
            let ended = pending.done(COMMIT_PATIENCE).await;
            if anew == Anew::Always || ended.is_err() {
                let mut planner = scheduler.planner();
                scheduler.with_book(|book| hosts.iter().for_each(|host| planner.refresh(host, book)));
            }
            ended
        })
    }

    /// Waits for such an end.
    pub(super) async fn end(
        self: &Arc<Self>,
        pending: Pending,
        anew: Anew,
        hosts: BTreeSet<String>,
        deadline: Instant,
    ) -> Result<(), ClaimsError> {
        match timeout_at(deadline, self.ending(pending, anew, hosts)).await {
            Ok(Ok(ended)) => {
                ended.inspect_err(|error| tracing::error!("claims were not kept: {error}"))?;
                Ok(())
            }
            // Not in time, or the task died.
            Err(_) | Ok(Err(_)) => Err(CommitError::Unknown.into()),
        }
    }

    fn try_claim(
        &self,
        (asked, hints): (&Asked<'_>, &mut Hints),
        digest: [u8; 32],
        begun: Timestamp,
        only_fresh: bool,
        before_no: bool,
    ) -> Result<Tried, PlaceError> {
        let ledger = self.ledger.as_ref().ok_or(ClaimsError::Offline)?;
        let now = self.cluster.cache().now();
        let until = hold_until(now, asked.request.hold)?;
        // Who was asked since the caller came is never asked again, however short usage holds.
        let young = now.saturating_sub(self.usage_max_age).min(begun)..=now;
        let mut planner = self.planner();
        let planner = &mut *planner;
        let tried = ledger.change(|holdings| {
            if let Some(answer) = self.lookup(holdings, asked.request, digest)? {
                return Ok((Ok(answer), Vec::new()));
            }
            planner.catch_up(&self.cluster.registry(), holdings);
            no_conflicts(asked, planner, holdings)?;
            let batch = asked.batch_for(planner, &holdings.book, &Leaving::default());
            let searched =
                if only_fresh { among_fresh(&batch, planner, &young) } else { Cow::Borrowed(&*batch) };
            let mut decision = match hints.decide(asked, &searched, planner, Then::Keep, (now, Some(begun))) {
                Hinted::Decided(decision) => decision,
                Hinted::Search => planner.solver.decide(&searched, Then::Keep),
                Hinted::Ask(hosts) => return Ok((Err((hosts, false)), Vec::new())),
            };
            if only_fresh && !decision.is_granted {
                // Among all hosts there was room at each look so far: this is no "no".
                return Err(PlaceError::Changed);
            }
            let mut stale = stale_chosen(&decision, planner, &young);
            let for_no = before_no && !decision.refusals.is_empty();
            if for_no {
                stale.extend(stale_refusing(&batch, planner, &young));
            }
            if !stale.is_empty() {
                give_back(asked, &decision, planner);
                return Ok((Err((stale, for_no)), Vec::new()));
            }
            let before = if answer::wants_before(asked) {
                // Only now that it is the last: the same again, and in between all as it was.
                give_back(asked, &decision, planner);
                let before = answer::before(asked, &batch, planner);
                decision = hints.decide_now(asked, &searched, planner, Then::Keep, now);
                before
            } else {
                answer::Before::default()
            };
            let mut answer = answer::answer(asked, &decision, planner, before);
            mem::take(hints).tell(&mut answer);
            leaving::nominate(asked, planner, &holdings.book, now, &mut answer);
            let changes =
                self.promised(asked, (&decision, answer), planner, holdings, (now, until), digest)?;
            Ok((Ok(changes.0), changes.1))
        });
        let (tried, pending) = tried.map_err(not_begun)?;
        Ok(match tried {
            Ok(answer) => Tried::Done(Box::new(answer), pending),
            Err((hosts, for_no)) => Tried::Ask { hosts, for_no },
        })
    }

    /// The claims of a decision, and what is to be written with them.
    fn promised(
        &self,
        asked: &Asked<'_>,
        (decision, mut answer): (&Decision, PlaceAnswer),
        planner: &mut Planner,
        holdings: &Holdings,
        (now, until): (Timestamp, Timestamp),
        digest: [u8; 32],
    ) -> Result<(PlaceAnswer, Vec<Change>), PlaceError> {
        let mut changes = Vec::new();
        if decision.is_granted && decision.placed_count > 0 {
            match holdings.book.admit(new_claims(&holdings.book, asked, decision, now, until)) {
                Ok(admitted) => changes = admitted,
                Err(conflict) => {
                    give_back(asked, decision, planner);
                    return Err(conflict.into());
                }
            }
            let told = answer.placements.iter_mut().zip(placed(asked, decision));
            for ((placement, (instance, demand, placed)), change) in told.zip(&changes) {
                if let Change::Put(claim) = change {
                    placement.claim_id = claim.id.to_string();
                }
                let disks = placed.disks.iter().zip(asked.disk_sizes(instance, demand));
                let disks = disks.filter_map(|(pool, size)| Some((pool.as_ref()?, size)));
                planner.charge(&placed.host, instance, disks);
            }
            answer.expires_at = Some(until);
        }
        let remembered = Remembered { body_digest: digest, answer: (self.codec.encode)(&answer), when: now };
        changes.extend(holdings.requests.remember(&asked.request.request_id, remembered));
        Ok((answer, changes))
    }
}

/// The same among hosts only that were asked in this time.
fn among_fresh<'a>(batch: &Batch, planner: &Planner, young: &Young) -> Cow<'a, Batch> {
    let fresh = planner.hosts().filter(|(_, known)| known.is_fresh(young));
    let fresh: BTreeSet<Arc<str>> = fresh.map(|(name, _)| name.into()).collect();
    let admitted = match &batch.admitted {
        Some(admitted) => admitted.intersection(&fresh).cloned().collect(),
        None => fresh,
    };
    Cow::Owned(Batch { admitted: Some(admitted), ..batch.clone() })
}

/// Chosen hosts that must be asked first.
fn stale_chosen(decision: &Decision, planner: &Planner, young: &Young) -> Vec<String> {
    let chosen: BTreeSet<_> = decision.placements.iter().flatten().map(|placed| &placed.host).collect();
    chosen.into_iter().filter(|host| is_stale(host, planner, young)).map(ToString::to_string).collect()
}

/// Hosts that must be asked before it is said that there is no room: all that suit otherwise. Room may have come there
/// since they were asked last.
fn stale_refusing(batch: &Batch, planner: &mut Planner, young: &Young) -> Vec<String> {
    let mut hosts = BTreeSet::new();
    let mut seen = BTreeSet::<*const Demand>::new();
    if let Some(forced) = &batch.forced {
        hosts.insert(Arc::clone(&forced.name));
    } else {
        for group in &batch.groups {
            if !group.rules.is_empty() {
                // Only their answers end claims of members that are gone.
                hosts.extend(batch.members.iter().map(|member| Arc::clone(&member.host)));
            }
            if seen.insert(Arc::as_ptr(&group.demand)) {
                hosts.extend(planner.solver.suiting(&answer::question(batch, group)));
            }
        }
    }
    hosts.iter().filter(|host| is_stale(host, planner, young)).map(ToString::to_string).collect()
}

fn is_stale(host: &str, planner: &Planner, young: &Young) -> bool {
    planner.host(host).is_some_and(|known| !known.is_fresh(young))
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

fn give_back(asked: &Asked<'_>, decision: &Decision, planner: &mut Planner) {
    for (_, demand, placed) in placed(asked, decision) {
        planner.solver.release(&placed.host, &Taken::of(demand, placed));
    }
}
