//! <domain>.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::{
    domain::{of_caller, parse},
    render,
};

fuzz_target!(|text: &str| {
    let given = of_caller(text);
    let Ok(domain) = parse(text) else { return };
    // libvirt's own CPUs are read tolerantly, callers' are not.
    assert!(given.is_err() || given.as_ref() == Ok(&domain));
    assert!(!domain.name.is_empty() && !domain.uuid.is_empty());
    assert!(domain.disks.is_sorted_by(|a, b| a.target <= b.target));
    let written = render::domain(&domain);
    assert_eq!(parse(&written), Ok(domain), "{written}");
});
