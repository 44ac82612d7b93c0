//! What agent and reader process send each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmuster_agent::hypervisor::protocol::{Answer, LENGTH_BYTES, Question};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = Question::from_bytes(bytes) {
        let frame = question.to_frame();
        assert_eq!(Question::from_bytes(&frame[LENGTH_BYTES..]).expect("its own"), question);
    }
    if let Ok(answer) = Answer::from_bytes(bytes) {
        let frame = answer.to_frame();
        assert_eq!(Answer::from_bytes(&frame[LENGTH_BYTES..]).expect("its own"), answer);
    }
});
