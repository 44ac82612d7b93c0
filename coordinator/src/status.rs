//! The only map from our errors to gRPC's. The table is in cluster_service.proto.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use vmuster_proto::{convert::DecodeError, transport::error_status};

use crate::{
    claims::{ClaimStoreError, CommitError},
    cluster::{ClusterError, MigrationError, RegisterError},
    hosts::{ChangeError, ScopeError},
    scheduler::{ClaimsError, PlaceError},
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

/// ErrorInfo.reason: the name or address is taken.
pub const HOST_EXISTS: &str = "HOST_EXISTS";
/// ErrorInfo.reason: the host comes from the hosts file.
pub const HOST_READ_ONLY: &str = "HOST_READ_ONLY";
/// ErrorInfo.reason: the same request_id with another request.
pub const REQUEST_ID_REUSED: &str = "REQUEST_ID_REUSED";
/// ErrorInfo.reason: the instance has a claim.
pub const INSTANCE_CLAIMED: &str = "INSTANCE_CLAIMED";
/// ErrorInfo.reason: the instance is a guest of a host.
pub const INSTANCE_EXISTS: &str = "INSTANCE_EXISTS";
/// ErrorInfo.reason: the host has claims.
pub const LIVE_CLAIMS: &str = "LIVE_CLAIMS";
/// ErrorInfo.reason: there is no such claim.
pub const CLAIM_NOT_FOUND: &str = "CLAIM_NOT_FOUND";
/// ErrorInfo.reason: what was decided changed faster than it could be decided again.
const PLACEMENT_CHANGED: &str = "PLACEMENT_CHANGED";

/// ErrorInfo.reason: what was registered cannot be written.
pub const STATE_NOT_WRITABLE: &str = "STATE_NOT_WRITABLE";

pub(crate) fn cluster_error(error: &ClusterError) -> Status {
    match error {
        ClusterError::Scope(error) => scope_error(error),
        ClusterError::HostMissing { .. } => error_status(Code::Unavailable, error.to_string(), HOST_MISSING),
        ClusterError::Offline => error_status(Code::FailedPrecondition, error.to_string(), "OFFLINE"),
    }
}

pub(crate) fn register_error(error: &RegisterError) -> Status {
    match error {
        RegisterError::Change(error) => change_error(error),
        RegisterError::State(state) => {
            let source = std::error::Error::source(state).map(|source| format!(": {source}"));
            let message = format!("{error}: {state}{}", source.unwrap_or_default());
            let code = if state.is_full() { Code::ResourceExhausted } else { Code::Internal };
            tracing::error!(problem = message, "cannot keep the registered hosts");
            error_status(code, message, STATE_NOT_WRITABLE)
        }
        RegisterError::Late => error_status(Code::Unavailable, error.to_string(), STATE_NOT_WRITABLE),
        RegisterError::Embedded => error_status(Code::FailedPrecondition, error.to_string(), "OFFLINE"),
        RegisterError::Internal => Status::internal(error.to_string()),
    }
}

fn change_error(error: &ChangeError) -> Status {
    let wrong = |field: &str| invalid(&DecodeError { field: field.to_owned(), problem: error.to_string() });
    match error {
        ChangeError::Name(_) => wrong("name"),
        ChangeError::Invalid { field, .. } => wrong(field),
        ChangeError::InFile(_) | ChangeError::Exists(_) | ChangeError::SameAddress(_) => {
            error_status(Code::AlreadyExists, error.to_string(), HOST_EXISTS)
        }
        ChangeError::ReadOnly(_) => error_status(Code::FailedPrecondition, error.to_string(), HOST_READ_ONLY),
        ChangeError::NotRegistered(_) => error_status(Code::NotFound, error.to_string(), HOST_NOT_REGISTERED),
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

pub(crate) fn place_error(error: &PlaceError) -> Status {
    let wrong = |field: &str| invalid(&DecodeError { field: field.to_owned(), problem: error.to_string() });
    match error {
        PlaceError::Scope(error) => scope_error(error),
        PlaceError::Invalid { field, problem } => {
            invalid(&DecodeError { field: (*field).to_owned(), problem: problem.clone() })
        }
        PlaceError::Hold(_) => wrong("hold"),
        PlaceError::RequestIdReused(_) => {
            error_status(Code::FailedPrecondition, error.to_string(), REQUEST_ID_REUSED)
        }
        PlaceError::Unreadable(_) => error_status(Code::Internal, error.to_string(), STATE_NOT_WRITABLE),
        PlaceError::Conflict(_) => error_status(Code::AlreadyExists, error.to_string(), INSTANCE_CLAIMED),
        PlaceError::Exists { .. } => error_status(Code::AlreadyExists, error.to_string(), INSTANCE_EXISTS),
        PlaceError::NothingKnown(_) => error_status(Code::Unavailable, error.to_string(), HOST_MISSING),
        PlaceError::Changed => error_status(Code::Aborted, error.to_string(), PLACEMENT_CHANGED),
        PlaceError::Claims(error) => claims_error(error),
    }
}

pub(crate) fn live_claims(host: &str, count: usize) -> Status {
    let s = if count == 1 { "" } else { "s" };
    let problem = format!("'{host}' has {count} claim{s}; release them, or remove it with force");
    error_status(Code::FailedPrecondition, problem, LIVE_CLAIMS)
}

pub(crate) fn claims_error(error: &ClaimsError) -> Status {
    match error {
        ClaimsError::Offline => error_status(Code::FailedPrecondition, error.to_string(), "OFFLINE"),
        ClaimsError::NotFound(_) => error_status(Code::NotFound, error.to_string(), CLAIM_NOT_FOUND),
        ClaimsError::Hold(_) => {
            invalid(&DecodeError { field: "hold".to_owned(), problem: error.to_string() })
        }
        ClaimsError::Commit(CommitError::Failed(state)) => {
            let is_full = matches!(**state, ClaimStoreError::Full { .. });
            let code = if is_full { Code::ResourceExhausted } else { Code::Internal };
            let nothing = if state.is_certain() { ", and nothing has changed" } else { "" };
            error_status(code, format!("{error}{nothing}: {state}"), STATE_NOT_WRITABLE)
        }
        ClaimsError::Commit(CommitError::Unknown) | ClaimsError::Busy(_) => {
            error_status(Code::Unavailable, error.to_string(), STATE_NOT_WRITABLE)
        }
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
