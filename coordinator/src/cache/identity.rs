//! Whether the machine that answered is the one that is registered. Pure.
//!
//! Without TLS nothing is proven by it. It finds what goes wrong by itself: an address that another machine has got, a line
//! copied in the hosts file, a port that leads elsewhere.

use vmuster_proto::model::{Inventory, Problem, ProblemKind, printable};

use super::{HostRecord, host_cache::address_of};
use crate::hosts::HostEntry;

/// Of a name in a message; RFC 1123 has no longer ones.
const NAME_SHOWN_BYTES: usize = 253;

/// Refuses what another machine says. Only the registry's hosts have an identity: an address on a command line is whatever
/// answers there.
///
/// # Errors
/// Whose answer it is, and what to do.
pub(super) fn check(entry: &HostEntry, reported_name: &str, machine_id: Option<&str>) -> Result<(), Problem> {
    check_name(entry, reported_name)?;
    let Some(wanted) = entry.machine_id.as_ref().filter(|_| entry.origin.is_some()) else { return Ok(()) };
    match machine_id {
        Some(id) if id.eq_ignore_ascii_case(wanted) => Ok(()),
        Some(id) => Err(wrong(format!(
            "it is machine {}, registered is {wanted}; if it was installed anew, change its `machine_id` in the registry",
            printable(id, NAME_SHOWN_BYTES)
        ))),
        None => Err(wrong(format!("it does not tell its machine id, registered is {wanted}"))),
    }
}

/// The half of it that every answer of an agent allows.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_name(entry: &HostEntry, reported_name: &str) -> Result<(), Problem> {
    if entry.origin.is_some() && !is_same_name(&entry.name, reported_name) {
        let reported = printable(reported_name, NAME_SHOWN_BYTES);
        return Err(wrong(format!(
            "the agent there says that it is '{reported}'; correct the address of '{}', or set `name` in that agent's \
             configuration",
            entry.name
        )));
    }
    Ok(())
}

/// Whether what is known is of this host as it is registered now: what another address said may be another machine's, and
/// the machine id may have been registered since.
pub(super) fn is_of(entry: &HostEntry, record: &HostRecord) -> bool {
    let is_its_address = match &entry.address {
        None => record.address.is_empty(),
        Some(_) => record.address == address_of(entry),
    };
    let is_machine =
        |wanted: &String| machine_id_of(&record.inventory).is_some_and(|id| id.eq_ignore_ascii_case(wanted));
    is_its_address && entry.machine_id.as_ref().is_none_or(is_machine)
}

pub(super) fn machine_id_of(inventory: &Inventory) -> Option<&str> {
    inventory.system.as_ref()?.machine_id.as_deref()
}

/// Case apart. Of names where one has a domain and the other has not, the domain does not count: kernels' host names come
/// in both forms.
fn is_same_name(registered: &str, reported: &str) -> bool {
    let (registered, reported) = (registered.to_ascii_lowercase(), reported.to_ascii_lowercase());
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let has_domain = |name: &str| name.contains('.');
    registered == reported
        || (has_domain(&registered) != has_domain(&reported) && first(&registered) == first(&reported))
}

fn wrong(detail: String) -> Problem {
    Problem::new(ProblemKind::WrongIdentity, detail)
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::HostOrigin;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn registered(name: &str, machine_id: Option<&str>) -> HostEntry {
        let (origin, machine_id) = (Some(HostOrigin::File), machine_id.map(str::to_owned));
        HostEntry { origin, machine_id, ..HostEntry::new(name, None) }
    }

    #[test]
    fn a_name_is_the_same_whatever_its_case_and_with_or_without_its_domain() {
        for (name, reported, is_same) in [
            ("kvm-01", "kvm-01", true),
            ("kvm-01", "KVM-01", true),
            ("kvm-01", "kvm-01.example.org", true),
            ("kvm-01.example.org", "kvm-01", true),
            ("kvm-01.example.org", "kvm-01.example.com", false),
            ("kvm-01", "kvm-010", false),
            ("kvm-01", "kvm-02", false),
            ("kvm-01", "", false),
            ("kvm-01", ".", false),
        ] {
            let checked = check(&registered(name, None), reported, None);
            assert_eq!(checked.is_ok(), is_same, "{name} {reported}");
            if let Err(problem) = checked {
                assert_eq!(problem.kind, ProblemKind::WrongIdentity);
                assert!(problem.detail.contains(name), "{}", problem.detail);
            }
        }
    }

    #[test]
    fn a_machine_that_is_registered_must_be_that_machine() {
        let host = registered("a", Some(ID));
        assert_eq!(check(&host, "a", Some(ID)), Ok(()));
        assert_eq!(check(&host, "a", Some(&ID.to_uppercase())), Ok(()));
        assert!(check(&host, "a", Some("other")).is_err());
        assert!(check(&host, "a", None).is_err(), "unknown is not the same");
        assert_eq!(check(&registered("a", None), "a", None), Ok(()));
    }

    #[test]
    fn an_address_on_a_command_line_is_whatever_answers_there() {
        assert_eq!(check(&HostEntry::new("unix:/run/agent.sock", None), "kvm-01", None), Ok(()));
    }
}
