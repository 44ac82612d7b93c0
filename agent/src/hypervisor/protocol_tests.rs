//! What agent and reader say to each other arrives as it was sent, and nothing else does.

use vmuster_proto::model::{CpuFeature, IssueKind};

use super::*;

fn cpu() -> CpuDefinition {
    let feature = CpuFeature { name: "aes".to_owned(), policy: Some("require".to_owned()) };
    CpuDefinition { model: Some("EPYC".to_owned()), features: vec![feature], ..CpuDefinition::default() }
}

#[test]
fn questions_and_answers_arrive_as_they_were_sent() {
    let questions = [
        Question::Standing,
        Question::Guest { dependencies: "nested".to_owned() },
        Question::Domains {
            image_pools: vec!["images".to_owned()],
            leave_out_stopped_disks: true,
            leave_out_storage: false,
        },
        Question::Baseline { cpus: vec![cpu(), cpu()], expand_features: true },
        Question::Comparison(Box::new(cpu())),
        Question::Record,
    ];
    for question in questions {
        let frame = question.to_frame();
        let (length, rest) = frame.split_first_chunk::<LENGTH_BYTES>().expect("a length");
        assert_eq!(announced(*length, QUESTION_MAX_BYTES).expect("small"), rest.len());
        assert_eq!(Question::from_bytes(rest).expect("a question"), question);
    }
    let issue = Issue::new("", "virConnectOpen", IssueKind::Denied, "why");
    let guests = Guests { issues: vec![issue.clone()], ..Guests::default() };
    let domain = Domain { uuid: "u".to_owned(), ..Domain::default() };
    let read = DomainsRead {
        domains: vec![domain.clone()],
        undefined: vec![domain],
        age: Duration::from_millis(1500),
        issues: vec![issue.clone()],
    };
    let size = DiskFigures { virtual_bytes: Some(Bytes(7)), allocation_bytes: None };
    let storage = StorageRead { images: Some(vec![]), ..StorageRead::default() };
    let answers = [
        Answer::Failure(issue),
        Answer::Standing("key".to_owned()),
        Answer::Guest(Box::new(guests)),
        Answer::Domains(Box::new(read)),
        Answer::StoppedDisks(BTreeMap::from([(("u".to_owned(), "vda".to_owned()), size)])),
        Answer::Storage(Box::new(storage)),
        Answer::Baseline(Box::new(cpu())),
        Answer::Comparison(CpuComparison::Superset, String::new()),
        Answer::Record(BTreeMap::from([("a".to_owned(), "b".to_owned())])),
    ];
    for answer in answers {
        assert_eq!(Answer::from_bytes(&answer.to_frame()[LENGTH_BYTES..]).expect("an answer"), answer);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    assert!(matches!(announced([255; 4], ANSWER_MAX_BYTES), Err(ProtocolError::TooLarge(4_294_967_295))));
    assert!(matches!(Question::from_bytes(b""), Err(ProtocolError::Empty)));
    assert!(matches!(Answer::from_bytes(b"\xff"), Err(ProtocolError::Decode(_))));
    let verdict = pb::CompareCpuResponse { comparison: 9, detail: String::new() };
    let answer = pb::ReaderAnswer { answer: Some(PbAnswer::Comparison(verdict)) };
    assert!(matches!(Answer::from_bytes(&answer.encode_to_vec()), Err(ProtocolError::Field(_))));
}
