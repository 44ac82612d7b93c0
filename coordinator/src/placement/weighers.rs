//! Weighers: of the hosts that fit, which is best?
//!
//! Knows how loaded one host is, and what one instance adds. Must not know other hosts: a score that looked at all of
//! them would change for all with each change to one. Every weigher says 0 to 1; multipliers and the order of the sum
//! are the profile's. No fused multiply-add: the same bits on every machine.

use super::{
    host::Resource,
    request::{Profile, WeigherName},
};

/// A host with so many features counts as the richest. libvirt's largest models have about 150, a host's expansion under
/// 250.
const FEATURES_FULL: u32 = 256;

/// What weighers know of a host. What asks for no exactness is short, so that a row stays short.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Load {
    /// Exact up to sixteen million.
    vcpus_left: f32,
    /// 1 / promisable; 0 where there are none or it is not known.
    vcpus_share: f64,
    memory_left: f64,
    memory_share: f64,
    disk_left_share: f32,
    rare_features: f32,
    starting: f32,
}

/// What weighers know of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Added {
    vcpus: f64,
    memory: f64,
}

impl Added {
    pub(super) fn new(vcpus: u64, memory_bytes: u64) -> Self {
        Self { vcpus: vcpus as f64, memory: memory_bytes as f64 }
    }
}

/// What is left, and one part of the whole.
fn left_and_share(resource: Option<Resource>) -> (u64, f64) {
    match resource {
        Some(resource) if resource.promisable > 0 => (resource.headroom(), 1.0 / resource.promisable as f64),
        Some(_) | None => (0, 0.0),
    }
}

impl Load {
    /// `local_pools`: headroom and promisable of the host's own pools together. `feature_count`: the largest number where
    /// it is not known: as if the host were rich, so that nothing rare is given away by mistake.
    pub(super) fn new(
        vcpus: Option<Resource>,
        memory: Option<Resource>,
        local_pools: (u64, u64),
        feature_count: u32,
        starting: u32,
    ) -> Self {
        let (vcpus_left, vcpus_share) = left_and_share(vcpus);
        let (memory_left, memory_share) = left_and_share(memory);
        let (disk_left, disk_promisable) = local_pools;
        let disk_left_share =
            if disk_promisable > 0 { disk_left as f32 / disk_promisable as f32 } else { 0.0 };
        Self {
            vcpus_left: vcpus_left as f32,
            vcpus_share,
            memory_left: memory_left as f64,
            memory_share,
            disk_left_share,
            rare_features: 1.0 - feature_count.min(FEATURES_FULL) as f32 / FEATURES_FULL as f32,
            starting: 1.0 / (1.0 + starting as f32),
        }
    }
}

/// One reason to prefer a host.
pub(super) trait Weigher {
    /// As operators name it.
    const NAME: WeigherName;

    /// 0 to 1, with the instance placed.
    fn score(added: Added, load: &Load) -> f64;
}

struct Cpu;
struct Ram;
struct Balance;
struct Disk;
struct RareFeatures;
struct Starting;

impl Weigher for Cpu {
    const NAME: WeigherName = WeigherName::Cpu;

    fn score(added: Added, load: &Load) -> f64 {
        ((f64::from(load.vcpus_left) - added.vcpus) * load.vcpus_share).clamp(0.0, 1.0)
    }
}

impl Weigher for Ram {
    const NAME: WeigherName = WeigherName::Ram;

    fn score(added: Added, load: &Load) -> f64 {
        ((load.memory_left - added.memory) * load.memory_share).clamp(0.0, 1.0)
    }
}

impl Weigher for Balance {
    const NAME: WeigherName = WeigherName::Balance;

    fn score(added: Added, load: &Load) -> f64 {
        1.0 - (Cpu::score(added, load) - Ram::score(added, load)).abs()
    }
}

impl Weigher for Disk {
    const NAME: WeigherName = WeigherName::Disk;

    fn score(_: Added, load: &Load) -> f64 {
        f64::from(load.disk_left_share)
    }
}

impl Weigher for RareFeatures {
    const NAME: WeigherName = WeigherName::RareFeatures;

    fn score(_: Added, load: &Load) -> f64 {
        f64::from(load.rare_features)
    }
}

impl Weigher for Starting {
    const NAME: WeigherName = WeigherName::Starting;

    fn score(_: Added, load: &Load) -> f64 {
        f64::from(load.starting)
    }
}

fn weight<W: Weigher>(added: Added, load: &Load) -> (WeigherName, f64) {
    (W::NAME, W::score(added, load))
}

/// What each says, in the order of [`WeigherName::ALL`].
#[inline]
pub(super) fn weights(added: Added, load: &Load) -> [(WeigherName, f64); WeigherName::ALL.len()] {
    [
        weight::<Cpu>(added, load),
        weight::<Ram>(added, load),
        weight::<Balance>(added, load),
        weight::<Disk>(added, load),
        weight::<RareFeatures>(added, load),
        weight::<Starting>(added, load),
    ]
}

/// The sum of what they say, each times its multiplier, in that order.
#[inline]
pub(super) fn score(profile: &Profile, added: Added, load: &Load) -> f64 {
    weights(added, load).iter().fold(0.0, |sum, (name, weight)| sum + profile.multiplier(*name) * weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource(promisable: u64, promised: u64) -> Option<Resource> {
        Some(Resource { physical: promisable, promisable, promised })
    }

    #[test]
    fn names_stand_at_their_places() {
        let weights = weights(Added::new(0, 0), &Load::default());
        assert_eq!(weights.map(|(name, _)| name), WeigherName::ALL);
        for (place, name) in WeigherName::ALL.into_iter().enumerate() {
            assert_eq!(name as usize, place);
        }
    }

    #[test]
    fn a_half_full_host() {
        let said = |added: Added, load: &Load| weights(added, load).map(|(_, weight)| weight);
        let load = Load::new(resource(40, 10), resource(100, 75), (30, 120), 64, 3);
        assert_eq!(said(Added::new(10, 5), &load), [0.5, 0.2, 0.7, 0.25, 0.75, 0.25]);
        let empty = Load::new(None, None, (0, 0), u32::MAX, 0);
        assert_eq!(said(Added::new(1, 1), &empty), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    }

    proptest! {
        #[test]
        fn each_says_0_to_1(
            cpu in any::<(u64, u64)>(), ram in any::<(u64, u64)>(), added in any::<(u64, u64)>(),
            disk in (0_u64..1 << 50, 0_u64..1 << 50), features in any::<u32>(), starting in any::<u32>(),
        ) {
            let disk = (disk.0.min(disk.1), disk.1);
            let load = Load::new(resource(cpu.0, cpu.1), resource(ram.0, ram.1), disk, features, starting);
            for (_, weight) in weights(Added::new(added.0, added.1), &load) {
                prop_assert!((0.0..=1.0).contains(&weight), "{weight}");
            }
        }
    }
}
