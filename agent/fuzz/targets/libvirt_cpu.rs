//! <cpu>, as libvirt writes it and as callers send it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_proto::libvirt::{cpu, render};

fuzz_target!(|text: &str| {
    if let Ok(definition) = cpu::answer(text) {
        assert_eq!(cpu::answer(&render::cpu(&definition)), Ok(definition));
    }
    let Ok(definition) = cpu::of_caller(text) else { return };
    let written = render::cpu(&definition);
    assert_eq!(cpu::of_caller(&written), Ok(definition), "{written}");
});
