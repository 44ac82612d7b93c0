//! `vmuster hosts add`, `set` and `remove`.

use std::collections::BTreeMap;

use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::HostSummary,
};

use super::hosts::problem_note;
use crate::{
    args::{AddArguments, Output, RemoveArguments, Said, SetArguments, Switch},
    client::{Client, HostChange, NewHost},
    exit::{Answered, Failure},
    render::{self, width},
};

pub(super) async fn add(client: &mut Client, arguments: &AddArguments) -> Result<Answered, Failure> {
    let mixed_numa = arguments.mixed_numa.then_some(Said::Value(Switch::On));
    // "default" of a new host says nothing.
    let (settings, _) = arguments.settings.said(mixed_numa.as_ref());
    let host = client.add_host(NewHost {
        name: arguments.name.clone(),
        address: arguments.address.clone(),
        labels: labels(&arguments.labels)?,
        maintenance: arguments.maintenance,
        settings,
        machine_id: arguments.machine_id.clone(),
    });
    shown(&host.await?, arguments.output)
}

pub(super) async fn set(client: &mut Client, arguments: &SetArguments) -> Result<Answered, Failure> {
    let (settings, reset_settings) = arguments.settings.said(arguments.mixed_numa.as_ref());
    let change = HostChange {
        name: arguments.name.clone(),
        set_labels: labels(&arguments.labels)?,
        remove_labels: arguments.remove_labels.clone(),
        address: arguments.address.clone(),
        maintenance: arguments.maintenance.map(|switch| switch == Switch::On),
        settings,
        reset_settings,
        machine_id: arguments
            .machine_id
            .as_ref()
            .map(|id| if id == "any" { String::new() } else { id.clone() }),
    };
    let says_nothing = change.set_labels.is_empty()
        && change.remove_labels.is_empty()
        && change.address.is_none()
        && change.machine_id.is_none()
        && change.maintenance.is_none()
        && change.settings.said().is_empty()
        && change.reset_settings.is_empty();
    if says_nothing {
        return Err(Failure::usage("nothing to change: say what, as `--maintenance on`; see --help"));
    }
    shown(&client.update_host(change).await?, arguments.output)
}

pub(super) async fn remove(client: &mut Client, arguments: &RemoveArguments) -> Result<Answered, Failure> {
    let name = client.remove_host(&arguments.name, arguments.force).await?;
    let text = match arguments.output {
        Output::Table => format!("{name} removed\n"),
        Output::Plain => format!("{name}\n"),
        Output::Json => render::json(&render::hosts::RemovedDocument::new(&name))?,
        Output::Yaml => render::yaml(&render::hosts::RemovedDocument::new(&name))?,
    };
    Ok(Answered { text, ..Answered::default() })
}

/// The change was made, so the exit code is 0 though the host's agent may not answer yet; a warning says so.
fn shown(host: &HostSummary, output: Output) -> Result<Answered, Failure> {
    let hosts = std::slice::from_ref(host);
    let text = match output {
        Output::Table => render::hosts::list_table(hosts, SystemClock.now(), width()),
        Output::Plain => format!("{}\n", host.standing.name),
        Output::Json => render::json(&render::hosts::ListDocument::new(hosts, &[]))?,
        Output::Yaml => render::yaml(&render::hosts::ListDocument::new(hosts, &[]))?,
    };
    Ok(Answered { text, notes: problem_note(&host.standing).into_iter().collect(), ..Answered::default() })
}

fn labels(given: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for (key, value) in given {
        if labels.insert(key.clone(), value.clone()).is_some_and(|other| other != *value) {
            return Err(Failure::usage(format!("no host can have two values of label '{key}'; give one")));
        }
    }
    Ok(labels)
}
