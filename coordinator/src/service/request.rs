//! What a request asks for, checked.

use std::{collections::BTreeSet, time::Duration};

use tonic::metadata::MetadataMap;
use vmuster_proto::{
    convert::{self, DecodeError},
    model::Layer,
    pb,
    transport::Limits,
};

use crate::{
    cluster::Guest,
    flags::{Detail, PARTS_MAX},
    hosts::Scope,
};

/// Hosts on a page when the caller does not say.
const PAGE_DEFAULT: usize = 500;

/// Hosts on a page at most; a summary has about 600 bytes.
const PAGE_MAX: u32 = 1000;

/// What a partial answer needs to be put together and sent before the caller stops waiting.
const REPLY_MARGIN_MAX: Duration = Duration::from_millis(250);

pub(super) fn max_age(value: Option<prost_types::Duration>) -> Result<Option<Duration>, DecodeError> {
    convert::duration("max_age", value)
}

pub(super) fn flags_layer(message: &pb::ComputeCommonCpuFlagsRequest) -> Result<Layer, DecodeError> {
    convert::layer(message.layer)
}

pub(super) fn flags_detail(message: &pb::ComputeCommonCpuFlagsRequest) -> Result<Detail, DecodeError> {
    let suggest_parts_max = message.suggest_parts_max;
    if suggest_parts_max != 0 && !(2..=PARTS_MAX).contains(&suggest_parts_max) {
        let problem = format!("{suggest_parts_max} is neither 0 nor 2 to {PARTS_MAX}");
        return Err(DecodeError { field: "suggest_parts_max".to_owned(), problem });
    }
    Ok(Detail {
        hosts: message.include_hosts,
        absent: message.include_absent,
        without: names("without", &message.without)?,
        suggest_parts_max,
    })
}

fn names(field: &str, names: &[String]) -> Result<BTreeSet<String>, DecodeError> {
    if names.len() > convert::LIST_MAX {
        let problem = format!("{} entries, limit {}", names.len(), convert::LIST_MAX);
        return Err(DecodeError { field: field.to_owned(), problem });
    }
    Ok(names.iter().cloned().collect())
}

pub(super) fn scope(scope: Option<pb::HostScope>) -> Result<Scope, DecodeError> {
    let scope = scope.unwrap_or_default();
    Ok(Scope {
        names: names("scope.names", &scope.names)?,
        labels: scope.labels.into_iter().collect(),
        exclude: names("scope.exclude", &scope.exclude)?,
        arch: Some(scope.arch).filter(|arch| !arch.is_empty()),
    })
}

/// The guest of a migration check.
pub(super) fn migrating_guest(
    guest: Option<pb::check_migration_request::Guest>,
) -> Result<Guest, DecodeError> {
    let wrong =
        |field: &str, problem: &str| DecodeError { field: field.to_owned(), problem: problem.to_owned() };
    match guest {
        None => Err(wrong("guest", "must be set: a domain or domain_xml")),
        Some(pb::check_migration_request::Guest::DomainXml(xml)) => Ok(Guest::Xml(xml)),
        Some(pb::check_migration_request::Guest::Domain(pb::DomainOfHost { host, domain })) => {
            for (field, value) in [("domain.host", &host), ("domain.domain", &domain)] {
                if value.is_empty() || value.len() > convert::TEXT_MAX_BYTES {
                    return Err(wrong(field, "must be a name of reasonable length"));
                }
            }
            Ok(Guest::OnHost { host, domain })
        }
    }
}

pub(super) fn page(message: &pb::ListHostsRequest) -> Result<(Option<String>, usize), DecodeError> {
    if message.page_size > PAGE_MAX {
        let problem = format!("{} is more than {PAGE_MAX}", message.page_size);
        return Err(DecodeError { field: "page_size".to_owned(), problem });
    }
    let size = if message.page_size == 0 { PAGE_DEFAULT } else { message.page_size as usize };
    let after = Some(message.page_token.clone()).filter(|token| !token.is_empty());
    Ok((after, size))
}

/// How long the call may take by `grpc-timeout` (the caller's whole deadline), less what the reply needs.
pub(super) fn time_for_call(metadata: &MetadataMap, default: Duration) -> Duration {
    let header = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
    // The server's own cap ends at the headers; a stream of answers is bounded here.
    let asked = header.and_then(parse_grpc_timeout).unwrap_or(default).min(Limits::COORDINATOR.call_deadline);
    asked.saturating_sub(REPLY_MARGIN_MAX.min(asked / 10))
}

/// At most 8 digits and a unit, as gRPC's HTTP/2 mapping says. None if it is anything else.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_of_one_guest() {
        use pb::check_migration_request::Guest as Asked;
        let on = |host: &str, domain: &str| {
            let domain = pb::DomainOfHost { host: host.to_owned(), domain: domain.to_owned() };
            migrating_guest(Some(Asked::Domain(domain)))
        };
        assert!(on("kvm-01", "db-1").is_ok());
        assert_eq!(on("", "db-1").expect_err("no host").field, "domain.host");
        assert_eq!(on("kvm-01", &"x".repeat(5000)).expect_err("too long").field, "domain.domain");
        assert_eq!(migrating_guest(None).expect_err("none").field, "guest");
        let xml = migrating_guest(Some(Asked::DomainXml("<domain/>".to_owned())));
        assert_eq!(xml, Ok(Guest::Xml("<domain/>".to_owned())));
    }

    #[test]
    fn answers_before_the_callers_deadline() {
        let time = |header: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", header.parse().expect("ASCII"));
            time_for_call(&metadata, Duration::from_secs(100))
        };
        assert_eq!(time("10S"), Duration::from_millis(9750));
        assert_eq!(time("500m"), Duration::from_millis(450));
        assert_eq!(time("5M"), Duration::from_millis(299_750));
        assert_eq!(time("1H"), time("600S"));
        for nonsense in ["", "S", "5", "123456789S", "-1S", "1x", "1 S"] {
            assert_eq!(time(nonsense), Duration::from_millis(99_750), "{nonsense}");
        }
    }

    #[test]
    fn a_division_has_two_to_eight_parts() {
        let detail = |suggest_parts_max: u32| {
            flags_detail(&pb::ComputeCommonCpuFlagsRequest { suggest_parts_max, ..Default::default() })
        };
        for good in [0, 2, 8] {
            assert_eq!(detail(good).expect("good").suggest_parts_max, good);
        }
        for bad in [1, 9, u32::MAX] {
            assert_eq!(detail(bad).expect_err("bad").field, "suggest_parts_max");
        }
    }
}
