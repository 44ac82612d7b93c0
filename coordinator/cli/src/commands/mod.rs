//! One file a command: ask, then hand the answer to render.

pub(crate) mod baseline;
mod claims;
mod flags;
mod hosts;
mod migrate;
mod place;
mod register;

use std::{collections::BTreeSet, time::Duration};

use vmuster_proto::model::{Freshness, HostStanding, MissingHost};

use crate::{
    args::{Arguments, Command},
    ask::ask,
    exit::{Answered, Exit, Failure},
};

/// What was learned is worth a moment: without it the next command asks every host again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command line.
pub(crate) async fn run(arguments: Arguments) -> Result<Answered, Failure> {
    let mut asked = ask(&arguments.source).await?;
    let max_age = arguments.source.max_age;
    // Saved snapshots cannot be brought up to date, so there is no progress to show.
    let is_offline = asked.embedded.as_ref().is_some_and(|cluster| cluster.cache().fetcher().is_none());
    asked.client.set_progress(!is_offline);
    let mut answered = match &arguments.command {
        Command::Flags(flags) => flags::run(&mut asked.client, flags, max_age).await,
        Command::Baseline(baseline) => baseline::run(&mut asked.client, baseline, max_age).await,
        Command::Hosts(hosts) => {
            hosts::run(&mut asked.client, hosts, max_age, asked.embedded.is_some()).await
        }
        Command::Migrate(migrate) => migrate::run(&mut asked.client, migrate, max_age).await,
        Command::Place(arguments) => place::run(&mut asked.client, arguments).await,
        Command::Capacity(arguments) => place::capacity(&mut asked.client, arguments).await,
        Command::Claims(command) => claims::run(&mut asked.client, command).await,
    }?;
    answered.notes.splice(0..0, asked.notes);
    if let Some(cluster) = asked.embedded {
        if !cluster.cache().settle(SETTLE_PATIENCE).await {
            answered.notes.push(
                "note: the cache's disk is slow or hangs; hosts may be asked again next time".to_owned(),
            );
        }
        answered.notes.extend(cluster.cache().take_store_problem().map(|problem| format!("note: {problem}")));
    }
    Ok(answered)
}

/// What the standings of the hosts in an answer say about its completeness.
fn completeness(standings: impl IntoIterator<Item = Freshness>) -> BTreeSet<Exit> {
    let incomplete = |freshness: Freshness| match freshness {
        Freshness::Fresh => None,
        Freshness::Stale | Freshness::Missing => Some(Exit::Incomplete),
    };
    standings.into_iter().filter_map(incomplete).collect()
}

/// A line for each host that counts with its last known `facts`, or not at all. `host_count`: of those that count.
fn doubts(hosts: &[HostStanding], missing: &[MissingHost], host_count: u32, facts: &str) -> Vec<String> {
    let stale = hosts.iter().filter(|host| host.freshness == Freshness::Stale);
    let stale = stale.map(|host| {
        let why = host.problem.as_ref().map_or("", |problem| &problem.detail);
        format!("warning: {} is stale: its last known {facts} are used ({why})", host.name)
    });
    let missing = missing.iter().map(|host| {
        let effect = match host_count {
            0 => "there is no answer without it".to_owned(),
            count => format!("this answer is about the other {count} and may be too wide"),
        };
        format!("warning: {} is missing: {effect} ({})", host.name, host.problem.detail)
    });
    stale.chain(missing).collect()
}

/// What can be of one architecture only is asked of several: nothing is printed, and that is wrong use.
fn several_arches(answered: &mut Answered, arches: &BTreeSet<&str>) {
    let arches: Vec<&str> = arches.iter().copied().collect();
    answered.exits.insert(Exit::Usage);
    answered.notes.push(format!(
        "error: the hosts are of several architectures ({}): ask for one with --arch",
        arches.join(", ")
    ));
}
