//! How much of a host may be promised to guests.
//!
//! Knows ratios and reserves, and sums nothing by itself. Must not know where figures come from. What counts is what
//! guests may use at most, never what the kernel calls free: 64 idle guests look free until they all wake.

use vmuster_proto::model::{Bytes, Ratio};

/// vCPUs of guests a host thread may carry where nobody says otherwise: few guests use all of theirs at once.
pub const VCPU_RATIO: Ratio = Ratio::from_hundredths(400);

/// Promised memory for each byte beyond the reserve: one, so that every guest can have all of its own.
pub const MEMORY_RATIO: Ratio = Ratio::from_hundredths(100);

/// Promised disk for each byte beyond the reserve: as for memory.
pub const DISK_RATIO: Ratio = Ratio::from_hundredths(100);

/// Memory that a host keeps for its kernel, its daemons and QEMU's own needs.
pub const MEMORY_RESERVED: Bytes = Bytes(2 << 30);

/// Disk that the default pool's file system keeps: it mostly holds more than images.
pub const DISK_RESERVED: Bytes = Bytes(20 << 30);

/// What can be promised of this much memory in all.
#[must_use]
pub fn memory_promisable(total: Bytes, reserved: Bytes, ratio: Ratio) -> Bytes {
    Bytes(ratio.of(total.0.saturating_sub(reserved.0)))
}

/// How many vCPUs can be promised of this many threads in all.
#[must_use]
pub fn vcpus_promisable(threads: u32, ratio: Ratio) -> u64 {
    ratio.of(u64::from(threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_never_promised() {
        let promisable = |total: u64| memory_promisable(Bytes(total), MEMORY_RESERVED, MEMORY_RATIO);
        assert_eq!(promisable(10 << 30), Bytes(8 << 30));
        assert_eq!(promisable(1 << 30), Bytes(0), "a host smaller than its reserve");
        assert_eq!(promisable(u64::MAX), Bytes(u64::MAX - (2 << 30)));
        let half_more = Ratio::from_hundredths(150);
        assert_eq!(memory_promisable(Bytes(10 << 30), MEMORY_RESERVED, half_more), Bytes(12 << 30));
        assert_eq!((vcpus_promisable(8, VCPU_RATIO), vcpus_promisable(3, half_more)), (32, 4));
    }
}
