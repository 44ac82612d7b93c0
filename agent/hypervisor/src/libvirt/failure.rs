//! What libvirt's errors mean for an operator.

use virt::error::{Error, ErrorNumber};
use vmuster_proto::model::{Issue, IssueKind};

/// What to do when libvirt says no.
const CURE_DENIED: &str = "make the reader's user a member of libvirt's group (usermod -aG libvirt vmuster-hypervisor) \
    and end the reader, or allow it in polkit";

/// What to do when there is no daemon.
const CURE_ABSENT: &str = "start libvirt's daemon: systemctl start virtqemud.socket, or libvirtd.socket";

/// What to do when no connection can be made for want of descriptors: it is the reader that makes them.
const CURE_FILES_HERE: &str = "the reader may open no more files: end it, the next question starts another; if that does \
    not help, raise LimitNOFILE= of vmuster-hypervisor.service";

/// The same of a call: it is the daemon that answered.
const CURE_FILES_THERE: &str = "libvirt's daemon may open no more files: raise LimitNOFILE= of virtqemud.service or \
    libvirtd.service and start it again";

/// Calls that open a connection begin so.
const OPENING: &str = "virConnectOpen";

/// The C library's words for EMFILE and ENFILE; nobody here sets another language.
const NO_MORE_FILES: &str = "Too many open files";

/// The C library's for EACCES, and what libvirt asks.
const OF_RIGHTS: [&str; 4] = ["Permission denied", "polkit", "system bus", "System bus"];

/// An error of a call, as an issue without a section.
pub(crate) fn issue(call: &str, error: &Error) -> Issue {
    judged(call, code(error), error.message())
}

/// Of a connection that was refused: as [`issue`], since also a daemon that may be asked can fail to open one.
pub(crate) fn denied(call: &str, error: &Error) -> Issue {
    judged(call, code(error), error.message())
}

fn code(error: &Error) -> ErrorNumber {
    error.code().unwrap_or(ErrorNumber::InternalError)
}

/// Of an error of opening: a socket's mode and a polkit that does not answer are told like any other trouble.
fn is_of_rights(code: ErrorNumber, told: &str) -> bool {
    code == ErrorNumber::DbusService || OF_RIGHTS.iter().any(|words| told.contains(words))
}

fn judged(call: &str, code: ErrorNumber, told: &str) -> Issue {
    let opens = call.starts_with(OPENING);
    let is_of_system = matches!(code, ErrorNumber::NoConnect | ErrorNumber::SystemError | ErrorNumber::Rpc);
    let (kind, cure) = match code {
        _ if told.contains(NO_MORE_FILES) => {
            (IssueKind::Malformed, Some(if opens { CURE_FILES_HERE } else { CURE_FILES_THERE }))
        }
        ErrorNumber::OperationDenied
        | ErrorNumber::AuthFailed
        | ErrorNumber::AuthUnavailable
        | ErrorNumber::AuthCancelled
        | ErrorNumber::AccessDenied => (IssueKind::Denied, Some(CURE_DENIED)),
        ErrorNumber::NoSupport | ErrorNumber::ConfigUnsupported | ErrorNumber::ArgumentUnsupported => {
            (IssueKind::Unsupported, None)
        }
        _ if opens && is_of_rights(code, told) => (IssueKind::Denied, Some(CURE_DENIED)),
        _ if opens && is_of_system => (IssueKind::Missing, Some(CURE_ABSENT)),
        // A definition it refuses, or its own trouble: a daemon that answers need not be started.
        _ => (IssueKind::Malformed, None),
    };
    let detail = cure.map_or_else(|| told.to_owned(), |cure| format!("{told}; {cure}"));
    Issue::new("", call, kind, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "virConnectGetDomainCapabilities";

    fn told(call: &str, code: ErrorNumber, message: &str) -> (IssueKind, Option<String>) {
        let issue = judged(call, code, message);
        assert_eq!(issue.source, call);
        let cure = issue.detail.strip_prefix(message).expect("libvirt's words come first");
        (issue.kind, cure.strip_prefix("; ").map(str::to_owned))
    }

    #[test]
    fn a_daemon_is_to_be_started_only_if_it_cannot_be_reached() {
        let absent = "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory";
        for code in [ErrorNumber::SystemError, ErrorNumber::Rpc, ErrorNumber::NoConnect] {
            assert_eq!(
                told("virConnectOpen", code, absent),
                (IssueKind::Missing, Some(CURE_ABSENT.to_owned()))
            );
            assert_eq!(told(CALL, code, "cannot fork child process"), (IssueKind::Malformed, None));
        }
    }

    #[test]
    fn a_group_is_to_be_joined_only_if_a_right_is_missing() {
        let denied = (IssueKind::Denied, Some(CURE_DENIED.to_owned()));
        assert_eq!(told("virConnectOpen", ErrorNumber::AuthUnavailable, "no polkit agent"), denied);
        let mode = "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied";
        assert_eq!(told("virConnectOpen", ErrorNumber::SystemError, mode), denied);
        assert_eq!(told(CALL, ErrorNumber::OperationDenied, "read only access prevents it"), denied);
        assert_eq!(
            told(CALL, ErrorNumber::SystemError, "cannot open '/x': Permission denied").0,
            IssueKind::Malformed
        );
        assert_eq!(told(CALL, ErrorNumber::NoSupport, "no"), (IssueKind::Unsupported, None));
    }

    #[test]
    fn too_many_open_files_are_said() {
        let message = "Unable to create socket: Too many open files";
        for (call, cure) in [("virConnectOpen", CURE_FILES_HERE), (CALL, CURE_FILES_THERE)] {
            let told = told(call, ErrorNumber::SystemError, message);
            assert_eq!(told, (IssueKind::Malformed, Some(cure.to_owned())));
        }
    }
}
