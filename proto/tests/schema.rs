//! The schema is an API: any change to it shows here as a changed golden file and must be meant.

#![allow(clippy::expect_used, reason = "a test")]

use std::fmt::Write as _;

use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, SourceCodeInfo,
    field_descriptor_proto::{Label, Type},
};

fn schema() -> Vec<FileDescriptorProto> {
    let all = FileDescriptorSet::decode(vmuster_proto::pb::DESCRIPTORS).expect("our own schema");
    all.file.into_iter().filter(|file| file.package() == "vmuster.v1").collect()
}

fn type_name(field: &prost_types::FieldDescriptorProto) -> String {
    let short = |name: &str| name.trim_start_matches(".vmuster.v1.").trim_start_matches('.').to_owned();
    match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name()),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn write_message(out: &mut String, message: &DescriptorProto, prefix: &str) {
    let name = format!("{prefix}{}", message.name());
    writeln!(out, "message {name}").expect("a string");
    for field in &message.field {
        let label = match field.label() {
            Label::Repeated => "repeated ",
            _ if field.proto3_optional() => "optional ",
            _ => "",
        };
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
        let oneof = oneof.map_or(String::new(), |i| {
            format!(" (oneof {})", message.oneof_decl[usize::try_from(i).expect("an index")].name())
        });
        writeln!(out, "  {} = {}: {label}{}{oneof}", field.name(), field.number(), type_name(field))
            .expect("a string");
    }
    for nested in &message.nested_type {
        write_message(out, nested, &format!("{name}."));
    }
}

#[test]
fn golden() {
    let mut out = String::new();
    for file in schema() {
        writeln!(out, "# {}", file.name()).expect("a string");
        for service in &file.service {
            writeln!(out, "service {}", service.name()).expect("a string");
            for method in &service.method {
                let stream = if method.server_streaming() { "stream " } else { "" };
                let bare = |name: &str| name.trim_start_matches(".vmuster.v1.").to_owned();
                let (request, response) = (bare(method.input_type()), bare(method.output_type()));
                writeln!(out, "  {}({request}) -> {stream}{response}", method.name()).expect("a string");
            }
        }
        for message in &file.message_type {
            write_message(&mut out, message, "");
        }
        for item in &file.enum_type {
            writeln!(out, "enum {}", item.name()).expect("a string");
            for value in &item.value {
                writeln!(out, "  {} = {}", value.name(), value.number()).expect("a string");
            }
        }
    }
    insta::assert_snapshot!(out);
}

/// Whether the element at this path (see SourceCodeInfo.Location.path) has a comment.
fn has_comment(info: &SourceCodeInfo, path: &[usize]) -> bool {
    let is_here = |location: &&prost_types::source_code_info::Location| {
        location.path.len() == path.len()
            && location.path.iter().zip(path).all(|(a, b)| usize::try_from(*a) == Ok(*b))
    };
    info.location.iter().find(is_here).is_some_and(|location| !location.leading_comments().trim().is_empty())
}

#[test]
fn every_element_is_documented() {
    // Field numbers of FileDescriptorProto.{message_type, enum_type, service} and of their members.
    const MESSAGE: usize = 4;
    const ENUM: usize = 5;
    const SERVICE: usize = 6;
    const MEMBER: usize = 2;
    let mut bare = Vec::new();
    for file in schema() {
        let info = file.source_code_info.clone().expect("comments are compiled in");
        let mut check = |name: String, path: &[usize]| {
            if !has_comment(&info, path) {
                bare.push(name);
            }
        };
        for (m, message) in file.message_type.iter().enumerate() {
            check(message.name().to_owned(), &[MESSAGE, m]);
            for (f, field) in message.field.iter().enumerate() {
                check(format!("{}.{}", message.name(), field.name()), &[MESSAGE, m, MEMBER, f]);
            }
        }
        for (e, item) in file.enum_type.iter().enumerate() {
            check(item.name().to_owned(), &[ENUM, e]);
            for (v, value) in item.value.iter().enumerate() {
                check(value.name().to_owned(), &[ENUM, e, MEMBER, v]);
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            check(service.name().to_owned(), &[SERVICE, s]);
            for (m, method) in service.method.iter().enumerate() {
                check(method.name().to_owned(), &[SERVICE, s, MEMBER, m]);
            }
        }
    }
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn measured_numbers_are_optional() {
    // Identities and counts of the answer itself are always known.
    let always_known =
        |name: &str| matches!(name, "id" | "cpu" | "size_bytes" | "page_size") || name.ends_with("_count");
    // What is asked for, decided or promised is known by whoever says it; figures that are not are left out as a whole.
    const DECIDED: [&str; 17] = [
        "CandidateList",
        "Claim",
        "ClaimedCell",
        "EstimateCapacityResponse",
        "EvacuatedInstance",
        "GroupExplanation",
        "GuestTopology",
        "GuestTopologyCell",
        "HostCapacity",
        "InstanceGroup",
        "InstanceTemplate",
        "Nomination",
        "PlacedCell",
        "Placement",
        "Refusal",
        "ResourceFigures",
        "Shortage",
    ];
    let is_measured = |name: &str| !name.ends_with("Request") && !DECIDED.contains(&name);
    for file in schema() {
        for message in file.message_type.iter().filter(|m| is_measured(m.name())) {
            for field in &message.field {
                let number =
                    matches!(field.r#type(), Type::Uint32 | Type::Uint64) && field.label() != Label::Repeated;
                let known = field.proto3_optional() || always_known(field.name());
                assert!(!number || known, "{}.{} must be optional", message.name(), field.name());
            }
        }
    }
}
