//! `vmuster flags diff A B`.

use std::time::Duration;

use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::{FlagsAnswer, Layer},
};

use super::{completeness, notes};
use crate::{
    args::{Output, ScopeArguments},
    client::{Client, FlagsRequest},
    exit::{Answered, Exit, Failure},
    progress::refresh_first,
    render::{self, width},
};

/// Asks about each host alone: an answer about one host is that host's own facts.
pub(super) async fn run(
    client: &mut Client,
    layer: Layer,
    [a, b]: [&str; 2],
    output: Output,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    if a == b {
        return Err(Failure::usage("`flags diff` needs two different hosts"));
    }
    let both = ScopeArguments { hosts: vec![a.to_owned(), b.to_owned()], ..ScopeArguments::default() };
    let max_age = refresh_first(client, &both, max_age).await?;
    let mut answers = Vec::new();
    for host in [a, b] {
        let scope = ScopeArguments { hosts: vec![host.to_owned()], ..ScopeArguments::default() };
        let question =
            FlagsRequest { layer, scope: &scope, absent: false, without: &[], suggest_parts_max: 0 };
        answers.push(client.flags(&question, max_age).await?);
    }
    show(layer, &answers, output)
}

fn show(layer: Layer, answers: &[FlagsAnswer], output: Output) -> Result<Answered, Failure> {
    let standings = answers.iter().flat_map(|answer| &answer.hosts);
    let mut answered = Answered {
        notes: answers.iter().flat_map(notes).collect(),
        exits: completeness(standings.map(|host| host.freshness)),
        ..Answered::default()
    };
    if answers.iter().any(|answer| !answer.missing.is_empty()) {
        answered.exits.insert(Exit::Incomplete);
    }
    if answers.iter().all(|answer| answer.groups.is_empty()) {
        answered.exits.insert(Exit::CannotAnswer);
    }
    let document = render::flags::diff::Document::new(layer, answers);
    answered.text = match output {
        Output::Table => document.table(SystemClock.now(), width()),
        Output::Plain => document.plain(),
        Output::Json => render::json(&document)?,
        Output::Yaml => render::yaml(&document)?,
    };
    Ok(answered)
}
