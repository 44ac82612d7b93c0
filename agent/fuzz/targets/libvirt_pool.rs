//! <pool>.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::{pool::parse, render};
use vmuster_proto::model::StoragePool;

fuzz_target!(|text: &str| {
    let Ok(pool) = parse(text) else { return };
    assert!(pool.identity.as_ref().is_none_or(|identity| identity.contains("://")));
    // A capture has identities elsewhere.
    let rest = StoragePool { identity: None, ..pool };
    let written = render::pool(&rest);
    assert_eq!(parse(&written), Ok(rest), "{written}");
});
