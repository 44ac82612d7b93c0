//! What vmuster's words mean: plain data and its algebra.
//!
//! Knows units, sets, hosts, usage, issues and answers. Must not know gRPC, files, the clock or the network.
//! serde's names are the snapshot's JSON keys (BLUEPRINT "Snapshot JSON"), so renaming a field is an API change.

mod allocation;
mod answer;
mod baseline;
mod claims;
mod cpu;
mod cpu_set;
mod devices;
mod domains;
mod feature_set;
mod guest;
mod hundredths;
mod inventory;
mod issue;
mod migration;
mod nomination;
mod placement;
#[cfg(feature = "schema")]
mod schema;
mod snapshot;
mod standing;
mod text;
mod time;
mod topology;
mod units;
mod usage;
mod verdict;

pub use allocation::{
    AllocationSettings, HostOrigin, HostRegistration, HostSettings, InvalidRatio, Ratio, Setting,
    SettingSource,
};
pub use answer::{
    AbsentFeature, Division, DivisionPart, FLAGS_SCHEMA, FlagsAnswer, FlagsGroup, HostClass, Layer,
    UnknownFact, WhatIf,
};
pub use baseline::{
    BASELINE_SCHEMA, BaselineAnswer, BaselineForms, BaselineVerdict, CpuBaseline, ExceedingDomain,
    VerdictSource,
};
pub use claims::{CLAIMS_SCHEMA, ClaimReport, ClaimState, Instance, InstancesAnswer};
pub use cpu::{CoreType, Cpu, CpuCache, CpuFrequency, CpuTopology};
pub use cpu_set::{CPU_LIMIT, CpuSet, ParseCpuSetError};
pub use devices::{Disk, Nic, Partition, PciDevice};
pub use domains::{Domain, DomainDisk, DomainHugepages, DomainNuma, GuestCell, Image, Promised, StoragePool};
pub use feature_set::{FEATURE_NAME_MAX_BYTES, FeatureSet, InvalidFeatureName};
pub use guest::{CpuComparison, CpuDefinition, CpuFeature, GuestCpu, GuestCpuModel, Hypervisor};
pub use hundredths::{Hundredths, ParseHundredthsError};
pub use inventory::{HugepagePool, Inventory, Memory, Numa, NumaNode, System};
pub use issue::{Issue, IssueKind, sort_issues};
pub use migration::{Finding, MIGRATION_SCHEMA, MigrationAnswer, MigrationVerdict};
pub use nomination::{HintProblem, LeavingInstances, Nomination, StaleHint};
pub use placement::{
    AffinityPolicy, AffinityRule, Candidate, CapacityAnswer, Completeness, DiskDemand, DiskPlace,
    EvacuatedInstance, FilterCount, GroupExplanation, HostCapacity, INSTANCES_MAX, InstanceGroup,
    InstanceTemplate, JudgedHost, NearMiss, PLACE_SCHEMA, PlaceAnswer, PlaceRequest, Placement, Purpose,
    Refusal, ResourceFigures, Shortage, StorageFigures, TOPOLOGIES_MAX, WeigherProfile,
};
pub use snapshot::{SNAPSHOT_SCHEMA, Snapshot};
pub use standing::{Freshness, HostFailure, HostStanding, HostSummary, MissingHost, Problem, ProblemKind};
pub use text::{is_unprintable, printable};
pub use time::{ParseDurationError, Timestamp, TimestampOutOfRange, parse_duration};
pub use topology::{
    ClaimedCell, CpuPolicy, EmulatorThreads, GuestTopology, GuestTopologyCell, PageChoice, PlacedCell,
    ThreadPolicy,
};
pub use units::{Bytes, ParseBytesError};
pub use usage::{
    Filesystem, FreeHugepages, LoadAverage, MemoryUsage, NumaNodeUsage, NumaUsage, OwnProcess, Pressure,
    PressureShare, PressureStall, Usage,
};
pub use verdict::{Verdict, VerdictKind};
