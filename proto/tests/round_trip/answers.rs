//! Any answer about common flags.

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    AbsentFeature, Division, DivisionPart, FlagsAnswer, FlagsGroup, HostClass, Layer, MissingHost,
    UnknownFact, WhatIf,
};

use crate::{
    parts::{features, maybe_text, text},
    strategies::{problem, standing},
};

fn texts() -> impl Strategy<Value = Vec<String>> {
    collection::vec(text(), 0..3)
}

prop_compose! {
    fn unknown()(fact in text(), hosts in texts(), host_count: u32) -> UnknownFact {
        UnknownFact { fact, hosts, host_count }
    }
}

prop_compose! {
    fn what_if()(without in texts(), host_count: u32, gained in features(), psabi_level: Option<u32>,
        physical_address_bits: Option<u32>) -> WhatIf {
        WhatIf { without, host_count, gained, psabi_level, physical_address_bits }
    }
}

prop_compose! {
    fn part()(hosts in texts(), feature_count: u32, gained in features(), psabi_level: Option<u32>) -> DivisionPart {
        DivisionPart { hosts, feature_count, gained, psabi_level }
    }
}

fn divisions() -> impl Strategy<Value = Vec<Division>> {
    collection::vec(collection::vec(part(), 0..3).prop_map(|parts| Division { parts }), 0..3)
}

prop_compose! {
    fn group()(arch in text(), vendor in maybe_text(), vendors in collection::btree_set(text(), 0..3),
        features_ in features(), host_count: u32, hosts in texts(),
        sole_blockers in collection::btree_map(text(), features(), 0..3), widths in any::<[Option<u32>; 2]>(),
        classes in collection::vec((texts(), any::<u32>()), 1..3), names in texts(),
        lists in (option::of(collection::btree_set(text(), 0..3)), option::of(collection::btree_set(text(), 0..3))),
        more in (collection::vec(unknown(), 0..3), option::of(what_if()), divisions(), maybe_text())
    ) -> FlagsGroup {
        let classes = classes.into_iter().map(|(hosts, feature_count)| HostClass { hosts, feature_count }).collect();
        let absent = names.into_iter().map(|name| AbsentFeature { name, lacking_classes: vec![0] }).collect();
        let ([physical_address_bits, psabi_level], (machine_types, usable_models)) = (widths, lists);
        let (unknown, what_if, suggestions, refused) = more;
        FlagsGroup { arch, vendor, vendors, features: features_, host_count, hosts, sole_blockers,
            physical_address_bits, classes, absent, psabi_level, machine_types, usable_models, unknown, what_if,
            suggestions, suggestions_refused: refused.filter(|why| !why.is_empty()) }
    }
}

prop_compose! {
    pub fn answer()(layer in prop::sample::select(vec![Layer::Host, Layer::Guest]), complete: bool,
        groups in collection::vec(group(), 0..3), host_count: u32, fresh_host_count: u32,
        hosts in collection::vec(standing(), 0..3),
        missing in collection::vec((text(), problem()).prop_map(|(name, problem)| MissingHost { name, problem }), 0..3)
    ) -> FlagsAnswer {
        FlagsAnswer { layer, complete, groups, host_count, fresh_host_count, hosts, missing }
    }
}
