//! How much of a host may be promised to guests.
//!
//! Knows ratios and reserves, and sums nothing by itself. Must not know where figures come from. What counts is what
//! guests may use at most, never what the kernel calls free: 64 idle guests look free until they all wake.

use vmuster_proto::model::Bytes;

/// vCPUs of guests a host thread may carry.
pub const VCPUS_PER_THREAD: u64 = 4;

/// Promised memory in percent of what is there beyond the reserve: 100, so that every guest can have all of its own.
pub const MEMORY_RATIO_PERCENT: u64 = 100;

/// Memory that a host keeps for its kernel, its daemons and QEMU's own needs.
pub const MEMORY_RESERVED: Bytes = Bytes(2 << 30);

/// What can be promised of this much memory in all.
#[must_use]
pub fn memory_promisable(total: Bytes) -> Bytes {
    let beyond = u128::from(total.0.saturating_sub(MEMORY_RESERVED.0));
    Bytes(u64::try_from(beyond * u128::from(MEMORY_RATIO_PERCENT) / 100).unwrap_or(u64::MAX))
}

/// How many vCPUs can be promised of this many threads in all.
#[must_use]
pub fn vcpus_promisable(threads: u32) -> u64 {
    u64::from(threads) * VCPUS_PER_THREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_never_promised() {
        assert_eq!(memory_promisable(Bytes(10 << 30)), Bytes(8 << 30));
        assert_eq!(memory_promisable(Bytes(1 << 30)), Bytes(0), "a host smaller than its reserve");
        assert_eq!(memory_promisable(Bytes(u64::MAX)), Bytes(u64::MAX - (2 << 30)));
        assert_eq!(vcpus_promisable(8), 32);
    }
}
