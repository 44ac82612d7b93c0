//! How much a question holds, counted before it is decoded: an empty entry has two bytes on the socket and up to two
//! hundred and fifty in memory.
//!
//! Knows where questions repeat something. Must not know what it means.

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use super::protocol::{ProtocolError, QUESTION_CPUS_MAX, QUESTION_ENTRIES_MAX};

// Numbers of proto/vmuster/v1: of ReaderQuestion, of the questions in it, and of CpuDefinition.
const DOMAINS: u32 = 3;
const BASELINE: u32 = 4;
const COMPARISON: u32 = 5;
const IMAGE_POOLS: u32 = 1;
const CPUS: u32 = 1;
const FEATURES: u32 = 11;

/// Refuses what would become much more than it is.
///
/// # Errors
/// It holds more than any agent asks, or is no message.
pub(super) fn check(question: &[u8]) -> Result<(), ProtocolError> {
    let (mut cpus, mut others) = (0, 0);
    let counted = each(question, |kind, question| match kind {
        DOMAINS => each(question, |number, _| {
            others += usize::from(number == IMAGE_POOLS);
            Ok(())
        }),
        // The one CPU of a comparison has the number of a baseline's.
        BASELINE | COMPARISON => each(question, |number, cpu| {
            if number != CPUS {
                return Ok(());
            }
            cpus += 1;
            each(cpu, |number, _| {
                others += usize::from(number == FEATURES);
                Ok(())
            })
        }),
        _ => Ok(()),
    });
    counted.map_err(ProtocolError::Decode)?;
    for (count, limit) in [(cpus, QUESTION_CPUS_MAX), (others, QUESTION_ENTRIES_MAX)] {
        if count > limit {
            return Err(ProtocolError::TooMany(count, limit));
        }
    }
    Ok(())
}

/// Messages and texts in a message, with their numbers.
fn each<'a>(
    mut message: &'a [u8],
    mut see: impl FnMut(u32, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        let (number, kind) = decode_key(&mut message)?;
        let mut field = message;
        skip_field(kind, number, &mut message, DecodeContext::default())?;
        if kind == WireType::LengthDelimited {
            // What was skipped, without its length.
            decode_varint(&mut field)?;
            see(number, &field[..field.len() - message.len()])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{CpuDefinition, CpuFeature};

    use super::*;
    use crate::hypervisor::protocol::{LENGTH_BYTES, QUESTION_MAX_BYTES, Question};

    /// `count` empty messages of this number.
    fn empty(number: u8, count: usize) -> Vec<u8> {
        [number << 3 | 2, 0].repeat(count)
    }

    /// A message in another, as its field of this number.
    fn within(number: u8, content: &[u8]) -> Vec<u8> {
        let mut message = vec![number << 3 | 2];
        prost::encode_length_delimiter(content.len(), &mut message).expect("a vector grows");
        [message, content.to_vec()].concat()
    }

    fn refused(question: &[u8]) -> Option<(usize, usize)> {
        match Question::from_bytes(question) {
            Err(ProtocolError::TooMany(count, limit)) => Some((count, limit)),
            _ => None,
        }
    }

    #[test]
    fn what_would_grow_is_refused_before_it_is_decoded() {
        let million = QUESTION_MAX_BYTES / 2 - 16;
        assert_eq!(refused(&within(4, &empty(1, million))), Some((million, QUESTION_CPUS_MAX)));
        let features = within(1, &empty(11, million));
        let many = Some((million, QUESTION_ENTRIES_MAX));
        assert_eq!((refused(&within(4, &features)), refused(&within(5, &features))), (many, many));
        assert_eq!(refused(&within(3, &empty(1, million))), many);
        // Parts of one question are put together.
        let parts = within(4, &empty(1, 200)).repeat(2);
        assert_eq!(refused(&parts), Some((400, QUESTION_CPUS_MAX)));
        let comparison = within(5, &empty(1, 300));
        assert_eq!(refused(&comparison), Some((300, QUESTION_CPUS_MAX)));
        assert!(matches!(Question::from_bytes(&[4 << 3 | 2, 9, 0]), Err(ProtocolError::Decode(_))));
    }

    #[test]
    fn as_many_as_an_agent_asks_are_not() {
        let feature = CpuFeature { name: "hv-tlbflush".to_owned(), policy: None };
        let cpu = CpuDefinition {
            model: Some("EPYC-Rome".to_owned()),
            features: vec![feature; 500],
            ..CpuDefinition::default()
        };
        let question = Question::Baseline { cpus: vec![cpu; QUESTION_CPUS_MAX], expand_features: true };
        let frame = question.to_frame();
        assert!(frame.len() < QUESTION_MAX_BYTES + LENGTH_BYTES, "{}", frame.len());
        assert_eq!(Question::from_bytes(&frame[LENGTH_BYTES..]).expect("a question"), question);
    }
}
