//! `vmuster place` and `vmuster capacity`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::Path,
};

use uuid::Uuid;
use vmuster_proto::model::{
    AffinityPolicy, AffinityRule, Completeness, FeatureSet, Freshness, HintProblem, InstanceGroup,
    InstanceTemplate, JudgedHost, PlaceAnswer, PlaceRequest, Purpose, StaleHint, WeigherProfile,
};

use crate::{
    args::{CapacityArguments, FlavorArguments, Output, PlaceArguments, ProfileArgument, ScopeArguments},
    client::Client,
    exit::{Answered, Exit, Failure},
    hints_file,
    render::{self, width},
    request_file::{self, FILE_MAX_BYTES},
};

pub(crate) async fn run(client: &mut Client, arguments: &PlaceArguments) -> Result<Answered, Failure> {
    let request_id = arguments.request_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let request = request(arguments, &request_id)?;
    let answer = client.place(&request).await.map_err(|failure| match arguments.request_id {
        // It may have been promised all the same: who asks again must be able to ask for the same.
        None if arguments.claim => {
            failure.and(&format!("to ask for the same again: --request-id {request_id}"))
        }
        _ => failure,
    })?;
    let text = match arguments.output {
        _ if arguments.libvirt_xml => render::libvirt_xml::fragments(&answer),
        Output::Table => render::place::table(&answer, &request, width()),
        Output::Plain => render::place::plain(&answer),
        Output::Json => render::json(&render::place::Document::new(&answer, &request))?,
        Output::Yaml => render::yaml(&render::place::Document::new(&answer, &request))?,
    };
    let mut notes: Vec<_> = answer.notes.iter().map(|note| format!("warning: {note}")).collect();
    if arguments.libvirt_xml && !answer.granted {
        notes.push(render::place::table(&answer, &request, width()));
    }
    notes.extend(doubts(&answer.hosts));
    notes.extend(stale(&answer));
    if arguments.claim && arguments.request_id.is_none() {
        notes.push(format!("note: to ask for the same again: --request-id {request_id}"));
    }
    if answer.over_committed {
        notes.push("warning: there is not enough room; it was ignored".to_owned());
    }
    Ok(Answered { text, notes, exits: exits(&answer) })
}

/// All granted is complete whatever is not known; refused while hosts were unknown may be otherwise tomorrow.
fn exits(answer: &PlaceAnswer) -> BTreeSet<Exit> {
    if answer.refusals.is_empty() {
        return BTreeSet::from([Exit::Complete]);
    }
    let filters = answer.refusals.iter().flat_map(|refusal| &refusal.filters);
    let is_doubtful = answer.hosts.iter().any(is_unknown)
        || filters.into_iter().any(|filter| filter.unknown_host_count > 0);
    BTreeSet::from([if is_doubtful { Exit::Incomplete } else { Exit::No }])
}

fn is_unknown(host: &JudgedHost) -> bool {
    host.usage_problem.is_some() || host.standing.freshness != Freshness::Fresh
}

/// Why the hints were not used; first those that others fell with.
fn stale(answer: &PlaceAnswer) -> Vec<String> {
    let (fell, own): (Vec<_>, Vec<_>) =
        answer.stale_hints.iter().partition(|hint| hint.problem == HintProblem::Gang);
    let told = own.into_iter().chain(fell).take(STALE_SHOWN_MAX);
    let note = |StaleHint { uuid, host, detail, .. }: &StaleHint| {
        format!("note: the hint for {uuid} on {host} was not used: {detail}")
    };
    told.map(note).collect()
}

/// Hints that are told to be stale; all of them are in JSON.
const STALE_SHOWN_MAX: usize = 3;

fn doubts(hosts: &[JudgedHost]) -> Vec<String> {
    let unknown = hosts.iter().filter(|host| is_unknown(host)).map(|host| {
        let problem = host.usage_problem.as_ref().or(host.standing.problem.as_ref());
        let why = problem.map_or("", |problem| &problem.detail);
        let name = &host.standing.name;
        if host.usage_problem.is_none() && host.standing.freshness == Freshness::Stale {
            return format!("warning: {name} was judged by its last known facts ({why})");
        }
        format!("warning: {name} was not considered: what it has left is not known ({why})")
    });
    unknown.collect()
}

fn request(arguments: &PlaceArguments, request_id: &str) -> Result<PlaceRequest, Failure> {
    let hints = match &arguments.hints {
        Some(file) => hints_file::parse(&file_text("--hints", file)?)?,
        None => Vec::new(),
    };
    // From the request's id, so that the same command again is the same request; those of hints are the ones they are for.
    let uuid_of = |number: usize| match hints.get(number) {
        Some(hint) => hint.uuid.clone(),
        None => Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{request_id}/{number}").as_bytes()).to_string(),
    };
    let is_evacuation = arguments.evacuate.is_some();
    let (groups, mut completeness) = match &arguments.file {
        // One that finds no host keeps none of the others from being started again.
        _ if is_evacuation => (Vec::new(), Completeness::BestEffort),
        Some(file) => request_file::parse(&file_text("--file", file)?, uuid_of)?,
        None => (vec![group(arguments, uuid_of)?], Completeness::All),
    };
    if arguments.best_effort {
        completeness = Completeness::BestEffort;
    }
    if let Some(count) = arguments.min_count {
        completeness = Completeness::AtLeast(count);
    }
    let profile = arguments.profile.map_or("", |profile| match profile {
        ProfileArgument::Spread => "spread",
        ProfileArgument::Pack => "pack",
    });
    Ok(PlaceRequest {
        request_id: if arguments.claim { request_id.to_owned() } else { String::new() },
        claim: arguments.claim,
        groups,
        completeness,
        hosts: arguments.hosts.clone(),
        exclude_hosts: arguments.exclude.clone(),
        forced_host: arguments.force_host.clone(),
        ignore_capacity: arguments.ignore_capacity,
        profile: WeigherProfile {
            name: profile.to_owned(),
            multipliers: arguments.weighers.iter().cloned().collect::<BTreeMap<_, _>>(),
        },
        hold: arguments.hold,
        purpose: if arguments.moving || is_evacuation { Purpose::Move } else { Purpose::New },
        max_candidates: arguments.candidates.unwrap_or(0),
        explain: arguments.explain,
        evacuate_host: arguments.evacuate.clone(),
        releasing: arguments.releasing.clone(),
        hints,
    })
}

fn group(arguments: &PlaceArguments, uuid_of: impl Fn(usize) -> String) -> Result<InstanceGroup, Failure> {
    let uuids = match arguments.uuid.as_slice() {
        [] => (0..arguments.count as usize).map(uuid_of).collect(),
        uuids => uuids.to_vec(),
    };
    let rules = [
        (&arguments.affinity, AffinityPolicy::Affinity),
        (&arguments.anti_affinity, AffinityPolicy::AntiAffinity),
        (&arguments.soft_affinity, AffinityPolicy::SoftAffinity),
        (&arguments.soft_anti_affinity, AffinityPolicy::SoftAntiAffinity),
    ];
    let rules =
        rules.into_iter().flat_map(|(rules, policy)| rules.iter().map(move |text| rule(text, policy)));
    let template = template(&arguments.flavor)?;
    Ok(InstanceGroup { name: String::new(), template, uuids, rules: rules.collect() })
}

/// "db" or "db@rack".
fn rule(text: &str, policy: AffinityPolicy) -> AffinityRule {
    let (group, key) = text.split_once('@').map_or((text, None), |(group, key)| (group, Some(key)));
    let topology_key = key.map(str::to_owned);
    AffinityRule { group: group.to_owned(), policy, topology_key, partition: None }
}

fn template(flavor: &FlavorArguments) -> Result<InstanceTemplate, Failure> {
    let (Some(vcpus), Some(memory_bytes)) = (flavor.vcpus, flavor.memory) else {
        return Err(Failure::usage("give --vcpus and --memory, a request with --file, or --evacuate HOST"));
    };
    let features =
        |names: &[String]| FeatureSet::from_names(names.iter().map(String::as_str)).map_err(Failure::usage);
    Ok(InstanceTemplate {
        vcpus,
        memory_bytes,
        disks: flavor.disks.iter().map(|disk| disk.0.clone()).collect(),
        required_features: features(&flavor.require)?,
        forbidden_features: features(&flavor.forbid)?,
        cpu_model: flavor.cpu_model.clone(),
        arch: flavor.arch.clone(),
        labels: flavor.labels.iter().cloned().collect(),
        numa: flavor.topology.topology(vcpus, memory_bytes).map_err(Failure::usage)?,
    })
}

fn file_text(option: &str, file: &Path) -> Result<String, Failure> {
    let refused = |error: io::Error| Failure::usage(format!("{option} {}: {error}", file.display()));
    let mut text = String::new();
    let most = FILE_MAX_BYTES as u64 + 1;
    let size = if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        #[expect(clippy::disallowed_methods, reason = "the reader of people's requests, capped")]
        let opened = std::fs::File::open(file).map_err(refused)?;
        opened.take(most).read_to_string(&mut text)
    };
    match size.map_err(refused)? {
        size if size > FILE_MAX_BYTES => {
            Err(Failure::usage(format!("{option}: a file has at most {FILE_MAX_BYTES} bytes")))
        }
        _ => Ok(text),
    }
}

pub(crate) async fn capacity(
    client: &mut Client,
    arguments: &CapacityArguments,
) -> Result<Answered, Failure> {
    let scope = ScopeArguments {
        hosts: arguments.hosts.clone(),
        exclude: arguments.exclude.clone(),
        ..ScopeArguments::default()
    };
    let answer = client.capacity(&template(&arguments.flavor)?, &scope).await?;
    let text = match arguments.output {
        Output::Table => render::place::capacity_table(&answer, width()),
        Output::Plain => format!("{}\n", answer.count),
        Output::Json => render::json(&render::place::CapacityDocument::new(&answer))?,
        Output::Yaml => render::yaml(&render::place::CapacityDocument::new(&answer))?,
    };
    let mut exits = BTreeSet::new();
    if answer.missing.iter().any(is_unknown) {
        exits.insert(Exit::Incomplete);
    }
    if answer.count == 0 {
        exits.insert(Exit::No);
    }
    Ok(Answered { text, notes: doubts(&answer.missing), exits })
}
