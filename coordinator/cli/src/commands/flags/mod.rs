//! `vmuster flags`.

mod diff;
mod word;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::{FlagsAnswer, FlagsGroup, Layer, is_unprintable, printable},
};

use super::{completeness, doubts, several_arches};
use crate::{
    args::{FlagsArguments, FlagsCommand, LayerArgument, Output, ScopeArguments},
    client::{Client, FlagsRequest},
    exit::{Answered, Exit, Failure},
    progress::refresh_first,
    render::{self, View, width},
};
use word::Meant;

/// No flag's name is nearly as long.
const WORD_MAX_BYTES: usize = 100;

pub(crate) async fn run(
    client: &mut Client,
    arguments: &FlagsArguments,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    let layer = match arguments.layer {
        LayerArgument::Host => Layer::Host,
        LayerArgument::Guest => Layer::Guest,
    };
    if let Some(FlagsCommand::Diff { a, b }) = &arguments.command {
        refuse_options_of_flags(arguments)?;
        return diff::run(client, layer, [a, b], arguments.output, max_age).await;
    }
    if arguments.why.as_deref() == Some("") {
        return Err(Failure::usage("--why needs the name of a flag"));
    }
    if let Some(word) = arguments.why.as_deref().filter(|word| word.contains(is_unprintable)) {
        let shown = printable(word, WORD_MAX_BYTES);
        return Err(Failure::usage(format!("--why {shown}: no flag has such characters in its name")));
    }
    if arguments.suggest.is_some() && arguments.output == Output::Plain {
        return Err(Failure::usage("`--suggest` has no plain form; use -o json"));
    }
    let max_age = refresh_first(client, &arguments.scope, max_age).await?;
    let question = FlagsRequest {
        layer,
        scope: &arguments.scope,
        absent: arguments.matrix || arguments.why.is_some(),
        without: &arguments.what_if,
        suggest_parts_max: arguments.suggest.unwrap_or(0),
    };
    let answer = client.flags(&question, max_age).await?;
    show(&answer, arguments)
}

/// `diff` is a question of its own: what would be ignored is refused.
fn refuse_options_of_flags(arguments: &FlagsArguments) -> Result<(), Failure> {
    let FlagsArguments { scope, why, matrix, suggest, what_if, command: _, layer: _, output: _ } = arguments;
    let is_scoped = *scope != ScopeArguments::default();
    if is_scoped || why.is_some() || *matrix || suggest.is_some() || !what_if.is_empty() {
        return Err(Failure::usage(
            "`flags diff` takes two hosts, --layer and -o, and no other option of `flags`",
        ));
    }
    Ok(())
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
    // Who has a flag can be told across vendors.
    let divided = if arguments.why.is_some() { Vec::new() } else { divided_by_vendor(answer) };
    if !divided.is_empty() {
        answered.exits.insert(Exit::No);
        answered.notes.extend(divided);
    }
    let why = arguments.why.as_deref().map(|word| which(answer, word, &mut answered.notes)).transpose()?;
    let view = match &why {
        Some(feature) => View::Why(feature),
        None if arguments.matrix => View::Matrix,
        None if arguments.suggest.is_some() => View::Suggest,
        None if !arguments.what_if.is_empty() => View::WhatIf,
        None => View::Common,
    };
    answered.text = match arguments.output {
        Output::Table => render::flags::table(answer, view, SystemClock.now(), width()),
        Output::Json => render::json(&render::flags::document(answer, view))?,
        Output::Yaml => render::yaml(&render::flags::document(answer, view))?,
        Output::Plain => plain(answer, view, &mut answered),
    };
    Ok(answered)
}

/// Nothing where there are several groups: a script that takes the lines of one for the whole answer would be wrong.
fn plain(answer: &FlagsAnswer, view: View<'_>, answered: &mut Answered) -> String {
    if let [group] = answer.groups.as_slice() {
        return render::flags::plain(group, view);
    }
    let arches: BTreeSet<_> = answer.groups.iter().map(|group| group.arch.as_str()).collect();
    if arches.len() == 1 && matches!(view, View::Why(_)) {
        let lines: Vec<_> = answer.groups.iter().map(|group| render::flags::plain(group, view)).collect();
        let mut names: Vec<&str> = lines.iter().flat_map(|lines| lines.lines()).collect();
        names.sort_unstable();
        return names.into_iter().map(|name| format!("{name}\n")).collect();
    }
    if arches.len() > 1 {
        several_arches(answered, &arches);
    }
    String::new()
}

/// The feature that a word stands for; what to know about the word is noted.
fn which(answer: &FlagsAnswer, word: &str, notes: &mut Vec<String>) -> Result<String, Failure> {
    let is_x86 = |group: &FlagsGroup| matches!(group.arch.as_str(), "x86_64" | "i686");
    let is_known = anybody_has(answer, word);
    // The words of other architectures are their own: `sm3` of arm64 is not x86's.
    let meant = match word::meant(word, answer.layer) {
        Ok(meant) if answer.groups.iter().any(is_x86) => meant,
        Err(why) if answer.groups.iter().any(is_x86) && !is_known => return Err(Failure::usage(why)),
        _ => Meant { feature: word.to_owned(), notes: Vec::new() },
    };
    let feature = if is_known { word.to_owned() } else { meant.feature.clone() };
    // A host that shows the very word needs no translation, but the word may need a warning.
    if meant.feature == feature {
        notes.extend(meant.notes);
    }
    if !anybody_has(answer, &feature) {
        let layer = answer.layer;
        notes.push(format!("note: no host has {feature}; is it spelled as the {layer} layer spells it?"));
    }
    Ok(feature)
}

fn anybody_has(answer: &FlagsAnswer, flag: &str) -> bool {
    let some_have = |group: &FlagsGroup| group.absent.iter().any(|absent| absent.name == flag);
    answer.groups.iter().any(|group| group.features.contains(flag) || some_have(group))
}

/// In the guest layer hosts of two vendors have no baseline together: one line an architecture of which that is so.
fn divided_by_vendor(answer: &FlagsAnswer) -> Vec<String> {
    let mut vendors = BTreeMap::<&str, BTreeSet<&str>>::new();
    for group in answer.groups.iter().filter(|_| answer.layer == Layer::Guest) {
        vendors.entry(&group.arch).or_default().extend(group.vendors.iter().map(String::as_str));
    }
    let divided = vendors.into_iter().filter(|(_, vendors)| vendors.len() > 1);
    let line = |(arch, vendors): (&str, BTreeSet<&str>)| {
        let vendors: Vec<_> = vendors.into_iter().collect();
        format!(
            "there is no common guest baseline: the {arch} hosts are of vendors {}, and no guest moves between them; \
             ask about one with --hosts, --label or --exclude",
            vendors.join(" and ")
        )
    };
    divided.map(line).collect()
}

fn notes(answer: &FlagsAnswer) -> Vec<String> {
    doubts(&answer.hosts, &answer.missing, answer.host_count, "flags")
}
