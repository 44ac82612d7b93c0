//! The width of physical addresses: a guest that uses more than its host has panics, or loses its memory.

use vmuster_proto::model::CpuDefinition;

use super::{Case, HostFacts, Said, no, unknown};

/// What QEMU gives a guest that is told nothing else (TCG_PHYS_ADDR_BITS).
const DEFAULT_BITS: u32 = 40;

pub(super) fn judge(case: &Case<'_>) -> Said {
    // QEMU's own addresses are as wide as anybody asks.
    if case.is_emulated() {
        return Said::new();
    }
    let definition = case.domain.cpu.as_ref();
    let asked = definition.and_then(|cpu| cpu.physical_address_bits);
    let is_hosts = definition.is_some_and(takes_hosts);
    match (asked, is_hosts) {
        (limit, true) => of_host(case, limit),
        (Some(bits), false) => at_least(case, bits),
        (None, false) => by_default(case),
    }
}

fn takes_hosts(definition: &CpuDefinition) -> bool {
    let mode = definition.physical_address_mode.as_deref();
    mode == Some("passthrough") || mode.is_none() && definition.mode.as_deref() == Some("host-passthrough")
}

/// Guests' own limit where libvirt tells it, else the CPU's.
fn bits(host: &HostFacts<'_>) -> Option<u32> {
    let cpu = host.cpu()?;
    cpu.guest.as_ref().and_then(|guest| guest.physical_address_bits).or(cpu.physical_address_bits)
}

fn at_least(case: &Case<'_>, wanted: u32) -> Said {
    match bits(&case.target) {
        Some(there) if there >= wanted => Said::new(),
        Some(there) => no(format!("its physical addresses have {wanted} bits, and the host's {there}")),
        None => case
            .target
            .silent("cpu.physical_address_bits", &format!("whether its addresses have {wanted} bits")),
    }
}

/// The guest sees its host's width, up to a limit: a running one must go on seeing the same.
fn of_host(case: &Case<'_>, limit: Option<u32>) -> Said {
    if !case.is_running() {
        return Said::new();
    }
    let seen = |host: &HostFacts<'_>| bits(host).map(|bits| limit.map_or(bits, |limit| bits.min(limit)));
    let ours = case.source.as_ref().and_then(seen);
    match (ours, seen(&case.target)) {
        (Some(ours), Some(theirs)) if theirs == ours => Said::new(),
        (Some(ours), Some(theirs)) if theirs < ours => {
            no(format!("it sees physical addresses of {ours} bits, and the host's have {theirs}"))
        }
        (Some(ours), Some(theirs)) => {
            unknown(format!("it sees physical addresses of {ours} bits, and would see {theirs} on this host"))
        }
        (None, _) => unknown("how wide the physical addresses are that it sees is not known"),
        (_, None) => case.target.silent("cpu.physical_address_bits", "the width of its physical addresses"),
    }
}

/// Nothing is said of it: QEMU's width, which small CPUs do not have. QEMU warns and goes on, so a guest that runs
/// on as narrow a host already is no worse off.
fn by_default(case: &Case<'_>) -> Said {
    let ours = case.source.as_ref().and_then(bits);
    match bits(&case.target) {
        Some(there) if there < DEFAULT_BITS && ours.is_none_or(|ours| there < ours) => unknown(format!(
            "QEMU gives it physical addresses of {DEFAULT_BITS} bits, and the host's have {there}"
        )),
        _ => Said::new(),
    }
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::VerdictKind::{self, No, Unknown};

    use super::*;
    use crate::migration::testing::{facts, told};

    fn verdict(
        asked: Option<u32>,
        mode: Option<&str>,
        ours: Option<u32>,
        theirs: Option<u32>,
    ) -> Option<VerdictKind> {
        let mut facts = facts();
        facts.domain.cpu = Some(CpuDefinition {
            physical_address_bits: asked,
            physical_address_mode: mode.map(str::to_owned),
            ..CpuDefinition::default()
        });
        facts.guest_cpu().physical_address_bits = theirs;
        facts.cpu().physical_address_bits = None;
        let source = facts.source_cpu();
        source.physical_address_bits = ours;
        source.guest.as_mut().expect("a guest layer").physical_address_bits = None;
        told(judge, &facts).pop().map(|said| said.0)
    }

    #[test]
    fn by_what_the_definition_says() {
        let emulate = Some("emulate");
        assert_eq!(verdict(Some(46), emulate, None, Some(46)), None);
        assert_eq!(verdict(Some(46), emulate, None, Some(39)), Some(No));
        assert_eq!(verdict(Some(46), emulate, None, None), Some(Unknown));
        let own = Some("passthrough");
        assert_eq!(verdict(None, own, Some(46), Some(46)), None);
        assert_eq!(verdict(None, own, Some(46), Some(39)), Some(No));
        assert_eq!(verdict(None, own, Some(39), Some(46)), Some(Unknown));
        assert_eq!(verdict(Some(39), own, Some(46), Some(39)), None, "the limit is what both give");
        assert_eq!(verdict(None, own, None, Some(39)), Some(Unknown));
        assert_eq!(verdict(None, own, Some(39), None), Some(Unknown));
    }

    #[test]
    fn by_default() {
        assert_eq!(verdict(None, None, Some(46), Some(40)), None);
        assert_eq!(verdict(None, None, Some(46), Some(39)), Some(Unknown));
        assert_eq!(verdict(None, None, Some(39), Some(39)), None, "it runs on such a host already");
        assert_eq!(verdict(None, None, None, None), None);
    }
}
