//! What libvirt's errors mean for an operator.

use virt::error::{Error, ErrorNumber};
use vmuster_proto::model::{Issue, IssueKind};

/// What to do when libvirt says no.
const CURE_DENIED: &str = "make the reader's user a member of libvirt's group (usermod -aG libvirt vmuster-hypervisor) \
    and end the reader, or allow it in polkit";

/// What to do when there is no daemon.
const CURE_ABSENT: &str = "start libvirt's daemon: systemctl start virtqemud.socket, or libvirtd.socket";

/// An error of a call, as an issue without a section.
pub(crate) fn issue(call: &str, error: &Error) -> Issue {
    let (kind, cure) = match error.code().unwrap_or(ErrorNumber::InternalError) {
        ErrorNumber::OperationDenied
        | ErrorNumber::AuthFailed
        | ErrorNumber::AuthUnavailable
        | ErrorNumber::AuthCancelled
        | ErrorNumber::AccessDenied => (IssueKind::Denied, Some(CURE_DENIED)),
        ErrorNumber::NoSupport | ErrorNumber::ConfigUnsupported | ErrorNumber::ArgumentUnsupported => {
            (IssueKind::Unsupported, None)
        }
        ErrorNumber::NoConnect | ErrorNumber::SystemError | ErrorNumber::Rpc => {
            (IssueKind::Missing, Some(CURE_ABSENT))
        }
        // A definition it refuses, or its own trouble.
        _ => (IssueKind::Malformed, None),
    };
    let told = error.message();
    let detail = cure.map_or_else(|| told.to_owned(), |cure| format!("{told}; {cure}"));
    Issue::new("", call, kind, detail)
}

/// That the connection was not allowed, whatever libvirt calls it.
pub(crate) fn denied(call: &str, error: &Error) -> Issue {
    Issue::new("", call, IssueKind::Denied, format!("{}; {CURE_DENIED}", error.message()))
}
