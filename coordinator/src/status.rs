//! The only map from our errors to gRPC's. The table is in cluster_service.proto.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use vmuster_proto::{convert::DecodeError, transport::error_status};

use crate::{
    cluster::{ClusterError, MigrationError},
    hosts::ScopeError,
};

/// ErrorInfo.reason: a field is unset or out of range.
pub const INVALID_FIELD: &str = "INVALID_FIELD";
/// ErrorInfo.reason: the scope names a host that is not registered.
pub const HOST_NOT_REGISTERED: &str = "HOST_NOT_REGISTERED";
/// ErrorInfo.reason: the scope matches no host.
pub const EMPTY_SCOPE: &str = "EMPTY_SCOPE";

/// ErrorInfo.reason: the one host asked for is not known and does not answer.
const HOST_MISSING: &str = "HOST_MISSING";
/// ErrorInfo.reason: the host has no such domain.
pub const DOMAIN_NOT_FOUND: &str = "DOMAIN_NOT_FOUND";

pub(crate) fn cluster_error(error: &ClusterError) -> Status {
    match error {
        ClusterError::Scope(error) => scope_error(error),
        ClusterError::HostMissing { .. } => error_status(Code::Unavailable, error.to_string(), HOST_MISSING),
        ClusterError::Offline => error_status(Code::FailedPrecondition, error.to_string(), "OFFLINE"),
    }
}

pub(crate) fn migration_error(error: &MigrationError) -> Status {
    let wrong = |field: &str| invalid(&DecodeError { field: field.to_owned(), problem: error.to_string() });
    match error {
        MigrationError::Scope(error) => scope_error(error),
        MigrationError::Definition(_) => wrong("domain_xml"),
        MigrationError::Ambiguous { .. } => wrong("domain.domain"),
        MigrationError::Source { .. } => error_status(Code::Unavailable, error.to_string(), HOST_MISSING),
        MigrationError::NotFound { .. } => error_status(Code::NotFound, error.to_string(), DOMAIN_NOT_FOUND),
    }
}

pub(crate) fn scope_error(error: &ScopeError) -> Status {
    match error {
        ScopeError::NotRegistered(_) => error_status(Code::NotFound, error.to_string(), HOST_NOT_REGISTERED),
        ScopeError::NotInScope(_) => {
            invalid(&DecodeError { field: "without".to_owned(), problem: error.to_string() })
        }
        ScopeError::Empty(_) => error_status(Code::InvalidArgument, error.to_string(), EMPTY_SCOPE),
    }
}

pub(crate) fn invalid(error: &DecodeError) -> Status {
    let mut details = ErrorDetails::with_error_info(INVALID_FIELD, "vmuster", HashMap::new());
    details.add_bad_request_violation(error.field.clone(), error.problem.clone());
    Status::with_error_details(Code::InvalidArgument, error.to_string(), details)
}

/// The ErrorInfo.reason of a status that vmuster made.
#[must_use]
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == "vmuster").map(|info| info.reason)
}
