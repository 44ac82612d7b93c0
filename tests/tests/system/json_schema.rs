//! docs/snapshot.schema.json is what the model writes, described in the wire schema's words, and every snapshot fits it.

use std::{collections::BTreeMap, fs, sync::Arc};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, SourceCodeInfo};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use tempfile::tempdir;
use vmuster_agent::{
    snapshot::{Collector, Host, HostSource},
    watch::Unwatched,
};
use vmuster_proto::{
    clock::SystemClock,
    model::{SNAPSHOT_SCHEMA, Snapshot, sort_issues},
    pb::DESCRIPTORS,
};
use vmuster_tests::{
    fixtures::{copy_host, host, host_names, workspace},
    libvirt_files::write_libvirt,
    synthetic::LARGE,
};

/// Keys that are shorter in JSON than on the wire.
const SHORTER: [&str; 4] = ["present", "online", "offline", "isolated"];

fn snapshot(source: HostSource) -> Snapshot {
    let host = Arc::new(Host::new(source, None, Arc::new(SystemClock)));
    let mut collector = Collector::new(Arc::clone(&host));
    let collected = collector.collect_inventory(&Unwatched);
    let usage = collector.collect_usage(&Unwatched);
    let mut issues = [collected.issues.as_slice(), usage.issues.as_slice()].concat();
    sort_issues(&mut issues);
    Snapshot {
        schema: SNAPSHOT_SCHEMA.to_owned(),
        name: host.name(),
        inventory: (*collected.inventory).clone(),
        usage: Some(usage.usage),
        issues,
    }
}

/// Comments of messages and their fields: ("Disk", "") and ("Disk", "model").
fn comments() -> BTreeMap<(String, String), String> {
    let all = FileDescriptorSet::decode(DESCRIPTORS).expect("our own schema");
    let mut comments = BTreeMap::new();
    for file in all.file.iter().filter(|file| file.name().starts_with("vmuster/")) {
        let info = file.source_code_info.as_ref().expect("comments are compiled in");
        for (m, message) in (0..).zip(&file.message_type) {
            comments.insert((message.name().to_owned(), String::new()), comment(info, &[4, m]));
            add_fields(&mut comments, info, m, message);
        }
    }
    comments
}

fn add_fields(
    comments: &mut BTreeMap<(String, String), String>,
    info: &SourceCodeInfo,
    m: i32,
    message: &DescriptorProto,
) {
    for (f, field) in (0..).zip(&message.field) {
        comments.insert((message.name().to_owned(), field.name().to_owned()), comment(info, &[4, m, 2, f]));
    }
}

fn comment(info: &SourceCodeInfo, path: &[i32]) -> String {
    let location = info.location.iter().find(|location| location.path == path).expect("it is there");
    location.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing that is absent is written as null, and no value is a default.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("default");
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(mut either)) = fields.remove("anyOf") {
                either.retain(|one| *one != json!({"type": "null"}));
                match either.as_mut_slice() {
                    [Value::Object(only)] => fields.append(only),
                    _ => drop(fields.insert("anyOf".to_owned(), Value::Array(either))),
                }
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(entries) => entries.iter_mut().for_each(plain),
        _ => {}
    }
}

fn describe(name: &str, schema: &mut Value, comments: &BTreeMap<(String, String), String>) {
    if let Some(text) = comments.get(&(name.to_owned(), String::new())) {
        schema["description"] = Value::from(text.as_str());
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (key, property) in properties {
        let on_wire = if SHORTER.contains(&key.as_str()) { format!("{key}_cpus") } else { key.clone() };
        if let Some(text) = comments.get(&(name.to_owned(), on_wire)) {
            property["description"] = Value::from(text.as_str());
        }
    }
}

fn generated() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Snapshot>().to_value();
    plain(&mut schema);
    let comments = comments();
    let Some(Value::Object(types)) = schema.get_mut("$defs") else { panic!("types of their own") };
    for (name, definition) in types {
        describe(name, definition, &comments);
    }
    schema["title"] = Value::from("vmuster snapshot (schema vmuster.v1)");
    schema["properties"]["schema"]["const"] = Value::from(SNAPSHOT_SCHEMA);
    schema
}

#[test]
fn the_file_in_docs_is_the_models() {
    let path = workspace().join("docs/snapshot.schema.json");
    let text = serde_json::to_string_pretty(&generated()).expect("JSON") + "\n";
    if std::env::var_os("INSTA_UPDATE").is_some_and(|how| how == "always") {
        fs::write(&path, &text).expect("written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is old: run this test with INSTA_UPDATE=always", path.display());
}

#[test]
fn every_property_is_described() {
    let schema = generated();
    let mut bare = Vec::new();
    for (name, definition) in schema["$defs"].as_object().expect("types") {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                bare.push(format!("{name}.{key}"));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

fn documents() -> Vec<(String, Snapshot)> {
    let mut documents: Vec<_> = host_names()
        .into_iter()
        .map(|name| (name.clone(), snapshot(HostSource::recorded(&host(&name)).expect("a recorded host"))))
        .collect();
    documents.push(("this machine".to_owned(), snapshot(HostSource::live().expect("this machine"))));
    let directory = tempdir().expect("a directory");
    LARGE.write(directory.path());
    documents
        .push(("synthetic".to_owned(), snapshot(HostSource::recorded(directory.path()).expect("a host"))));
    let guests = tempdir().expect("a directory");
    copy_host("rome-2s", &guests.path().join("rome-2s"));
    write_libvirt(&guests.path().join("rome-2s"), "x86_64");
    let guests = HostSource::recorded(&guests.path().join("rome-2s")).expect("a host");
    documents.push(("with guests".to_owned(), snapshot(guests)));
    let empty = tempdir().expect("a directory");
    documents.push(("nothing".to_owned(), snapshot(HostSource::recorded(empty.path()).expect("a host"))));
    documents
}

#[test]
fn every_snapshot_fits_as_json_and_as_yaml() {
    let mut schema = generated();
    // Readers must ignore keys they do not know; here none may be unknown.
    let Some(Value::Object(types)) = schema.get_mut("$defs") else { panic!("types of their own") };
    for definition in types.values_mut().filter(|definition| definition.get("properties").is_some()) {
        definition["additionalProperties"] = Value::from(false);
    }
    schema["additionalProperties"] = Value::from(false);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (name, snapshot) in documents() {
        let json = serde_json::to_value(&snapshot).expect("JSON");
        let yaml = serde_saphyr::to_string(&snapshot).expect("YAML");
        let from_yaml: Value = serde_saphyr::from_str(&yaml).expect("own YAML");
        for (form, document) in [("JSON", json), ("YAML", from_yaml)] {
            let errors: Vec<_> = validator
                .iter_errors(&document)
                .map(|error| format!("{} {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name}, {form}: {errors:#?}");
        }
    }
}

#[test]
fn what_is_no_snapshot_does_not_fit() {
    let validator = jsonschema::validator_for(&generated()).expect("a schema");
    let good = serde_json::to_value(snapshot(HostSource::recorded(&host("rome-2s")).expect("a host")))
        .expect("JSON");
    assert!(validator.is_valid(&good));
    for (pointer, value) in [
        ("/schema", json!("vmuster.v2")),
        ("/inventory/cpu/online", json!([0, 1])),
        ("/inventory/memory/total_bytes", json!("4 GiB")),
        ("/inventory/numa/nodes/0/id", json!(-1)),
        ("/issues", Value::Null),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = value;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
}
