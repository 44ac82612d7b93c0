//! `vmuster hosts`.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::{HostStanding, SNAPSHOT_SCHEMA, Snapshot},
};

use super::{completeness, register};
use crate::{
    args::{HostsCommand, Output, ScopeArguments},
    client::{Client, HostList, HostReport},
    exit::{Answered, Exit, Failure},
    progress::{Bar, refresh_first},
    render::{self, width},
};

pub(crate) async fn run(
    client: &mut Client,
    command: &HostsCommand,
    max_age: Option<Duration>,
    keys_are_addresses: bool,
) -> Result<Answered, Failure> {
    match command {
        HostsCommand::List { scope, output } => {
            // What is wrong with the one in this process is told when all is done: also what happens after the answer.
            let tells_issues = !keys_are_addresses;
            list(client, scope, *output, max_age, tells_issues).await
        }
        HostsCommand::Show { host, output } => show(client, host, *output, max_age, keys_are_addresses).await,
        HostsCommand::Refresh { hosts, output, .. } => {
            let scope = ScopeArguments { hosts: hosts.clone(), ..ScopeArguments::default() };
            refresh(client, &scope, *output, max_age).await
        }
        HostsCommand::Add(arguments) => register::add(client, arguments).await,
        HostsCommand::Set(arguments) => register::set(client, arguments).await,
        HostsCommand::Remove(arguments) => register::remove(client, arguments).await,
    }
}

async fn list(
    client: &mut Client,
    scope: &ScopeArguments,
    output: Output,
    max_age: Option<Duration>,
    tells_issues: bool,
) -> Result<Answered, Failure> {
    let max_age = refresh_first(client, scope, max_age).await?;
    let HostList { hosts, issues } = client.list(scope, max_age).await?;
    let text = match output {
        Output::Table => render::hosts::list_table(&hosts, SystemClock.now(), width()),
        Output::Plain => hosts.iter().map(|host| format!("{}\n", host.standing.name)).collect(),
        Output::Json => render::json(&render::hosts::ListDocument::new(&hosts, &issues))?,
        Output::Yaml => render::yaml(&render::hosts::ListDocument::new(&hosts, &issues))?,
    };
    let exits = completeness(hosts.iter().map(|host| host.standing.freshness));
    let issues = issues.iter().filter(|_| tells_issues);
    let issues =
        issues.map(|issue| format!("warning: the coordinator's {}: {}", issue.section, issue.detail));
    let notes = issues.chain(hosts.iter().filter_map(|host| problem_note(&host.standing))).collect();
    Ok(Answered { text, notes, exits })
}

async fn show(
    client: &mut Client,
    host: &str,
    output: Output,
    max_age: Option<Duration>,
    keys_are_addresses: bool,
) -> Result<Answered, Failure> {
    if output == Output::Plain {
        return Err(Failure::usage("`hosts show` has no plain form; use -o json"));
    }
    let report = client.show(host, max_age).await?;
    let mut exits = completeness([report.standing.freshness]);
    let mut notes: Vec<_> = problem_note(&report.standing).into_iter().collect();
    // A saved snapshot need not have usage; a host that is asked for it should answer.
    if report.usage.is_none() && !report.standing.address.is_empty() {
        exits.insert(Exit::Incomplete);
        let why =
            report.issues.iter().find(|issue| issue.section == "usage").map_or("", |issue| &issue.detail);
        notes.push(format!("warning: the usage of {host} is not known: {why}"));
    }
    let text = match output {
        Output::Table | Output::Plain => render::hosts::show_table(&report, SystemClock.now(), width()),
        Output::Json => render::json(&snapshot(report, keys_are_addresses))?,
        Output::Yaml => render::yaml(&snapshot(report, keys_are_addresses))?,
    };
    Ok(Answered { text, notes, exits })
}

/// The same document as `vmuster-agent collect` prints. A registry's name wins over what the host says of itself.
fn snapshot(report: HostReport, keys_are_addresses: bool) -> Snapshot {
    let HostReport { standing, inventory, usage, issues, .. } = report;
    let own_name = keys_are_addresses && !standing.reported_name.is_empty();
    let name = if own_name { standing.reported_name } else { standing.name };
    Snapshot { schema: SNAPSHOT_SCHEMA.to_owned(), name, inventory, usage, issues }
}

async fn refresh(
    client: &mut Client,
    scope: &ScopeArguments,
    output: Output,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    let mut bar = Bar::new();
    let mut steps = client.refresh(scope, Some(max_age.unwrap_or(Duration::ZERO))).await?;
    let mut hosts = Vec::new();
    while let Some(step) = steps.next().await {
        let step = step?;
        bar.step(&step);
        hosts.extend(step.host);
    }
    bar.finish();
    hosts.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let text = match output {
        Output::Table => render::hosts::refresh_table(&hosts, width()),
        Output::Plain => hosts.iter().map(|(host, outcome)| format!("{} {outcome}\n", host.name)).collect(),
        Output::Json => render::json(&render::hosts::RefreshDocument::new(&hosts))?,
        Output::Yaml => render::yaml(&render::hosts::RefreshDocument::new(&hosts))?,
    };
    let exits = completeness(hosts.iter().map(|(host, _)| host.freshness));
    let notes = hosts.iter().filter_map(|(host, _)| problem_note(host)).collect();
    Ok(Answered { text, notes, exits })
}

pub(super) fn problem_note(host: &HostStanding) -> Option<String> {
    let problem = host.problem.as_ref()?;
    Some(format!("warning: {} is {}: {}", host.name, host.freshness, problem.detail))
}
