//! How much of a host may be promised to guests, and how much is.
//!
//! Pure. Must not know where figures come from. What counts is what guests may use at most, never what the kernel calls free:
//! 64 idle guests look free until they all wake. A guest and the claim it was placed by are one promise, the larger of both.

mod figures;
mod host;
mod shared;
mod storage;

use vmuster_proto::model::{Bytes, Ratio};

pub use figures::{Figures, Profile};
pub use host::{
    AccountedHost, ClaimedBy, HostAccount, PoolAccount, Room, RoomFigures, account, is_dedicated, room_for,
};
pub use shared::{SharedStorage, SharedUnit};
pub use storage::{Charging, DiskCharges, HostStorage, holder, is_removable, storage_of};

/// vCPUs of guests a host thread may carry where nobody says otherwise: few guests use all of theirs at once.
pub const VCPU_RATIO: Ratio = Ratio::from_hundredths(400);

/// Promised memory for each byte beyond the reserve: one, so that every guest can have all of its own.
pub const MEMORY_RATIO: Ratio = Ratio::from_hundredths(100);

/// Promised disk for each byte beyond the reserve: as for memory.
pub const DISK_RATIO: Ratio = Ratio::from_hundredths(100);

/// The same in OpenStack's Kilo release, for clusters that were filled by it.
pub const KILO_VCPU_RATIO: Ratio = Ratio::from_hundredths(1600);

/// As above.
pub const KILO_MEMORY_RATIO: Ratio = Ratio::from_hundredths(150);

/// Memory that a host keeps for its kernel, its daemons and QEMU's own needs.
pub const MEMORY_RESERVED: Bytes = Bytes(2 << 30);

/// Disk that the default pool's file system keeps: it mostly holds more than images.
pub const DISK_RESERVED: Bytes = Bytes(20 << 30);
