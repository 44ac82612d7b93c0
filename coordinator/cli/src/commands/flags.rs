//! `vmuster flags`.

use std::time::Duration;

use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::{FlagsAnswer, FlagsGroup, Freshness, Layer},
};

use super::completeness;
use crate::{
    args::{FlagsArguments, LayerArgument, Output},
    client::{Client, FlagsRequest},
    exit::{Answered, Exit, Failure},
    progress::refresh_first,
    render::{self, View, width},
};

pub(crate) async fn run(
    client: &mut Client,
    arguments: &FlagsArguments,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    let layer = match arguments.layer {
        LayerArgument::Host => Layer::Host,
        LayerArgument::Guest => Layer::Guest,
    };
    if arguments.why.as_deref() == Some("") {
        return Err(Failure::usage("--why needs the name of a flag"));
    }
    let max_age = refresh_first(client, &arguments.scope, max_age).await?;
    let absent = arguments.matrix || arguments.why.is_some();
    let question = FlagsRequest { layer, scope: &arguments.scope, absent };
    let answer = client.flags(&question, max_age).await?;
    show(&answer, arguments)
}

fn show(answer: &FlagsAnswer, arguments: &FlagsArguments) -> Result<Answered, Failure> {
    let mut answered = Answered { notes: notes(answer), ..Answered::default() };
    answered.exits = completeness(answer.hosts.iter().map(|host| host.freshness));
    if !answer.missing.is_empty() {
        answered.exits.insert(Exit::Incomplete);
    }
    if answer.groups.is_empty() {
        answered.exits.insert(Exit::CannotAnswer);
    }
    if answer.groups.iter().any(|group| group.features.is_empty()) {
        answered.exits.insert(Exit::No);
    }
    if let Some(flag) = arguments.why.as_deref().filter(|flag| !anybody_has(answer, flag)) {
        answered.notes.push(format!(
            "note: no host has {flag}; is it spelled as the {} layer spells it?",
            answer.layer
        ));
    }
    let view = match (&arguments.why, arguments.matrix) {
        (Some(flag), _) => View::Why(flag),
        (None, true) => View::Matrix,
        (None, false) => View::Common,
    };
    answered.text = match arguments.output {
        Output::Table => render::flags::table(answer, view, SystemClock.now(), width()),
        Output::Json => render::json(&render::flags::document(answer, view))?,
        Output::Yaml => render::yaml(&render::flags::document(answer, view))?,
        Output::Plain => match answer.groups.as_slice() {
            [] => String::new(),
            [group] => render::flags::plain(group, view),
            _ => {
                answered.exits.insert(Exit::Usage);
                answered.notes.push(several_groups(answer));
                String::new()
            }
        },
    };
    Ok(answered)
}

fn anybody_has(answer: &FlagsAnswer, flag: &str) -> bool {
    let some_have = |group: &FlagsGroup| group.absent.iter().any(|absent| absent.name == flag);
    answer.groups.iter().any(|group| group.features.contains(flag) || some_have(group))
}

fn several_groups(answer: &FlagsAnswer) -> String {
    let arches: Vec<_> = answer.groups.iter().map(|group| group.arch.as_str()).collect();
    format!("error: the hosts are of several architectures ({}): ask for one with --arch", arches.join(", "))
}

fn notes(answer: &FlagsAnswer) -> Vec<String> {
    let stale = answer.hosts.iter().filter(|host| host.freshness == Freshness::Stale);
    let stale = stale.map(|host| {
        let why = host.problem.as_ref().map_or("", |problem| &problem.detail);
        format!("warning: {} is stale: its last known flags are used ({why})", host.name)
    });
    let missing = answer.missing.iter().map(|host| {
        let effect = match answer.host_count {
            0 => "there is no answer without it".to_owned(),
            count => format!("this answer is about the other {count} and may be too wide"),
        };
        format!("warning: {} is missing: {effect} ({})", host.name, host.problem.detail)
    });
    stale.chain(missing).collect()
}
