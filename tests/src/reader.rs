//! A reader process that knows a few files instead of libvirt, and answers as the real one does.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Arc,
    thread,
};

use vmuster_agent::hypervisor::{
    domains,
    figures::Figures,
    guest::{self, GuestTexts, Text, Versions},
    protocol::{
        Answer, DiskSizes, DomainsRead, LENGTH_BYTES, QUESTION_MAX_BYTES, Question, StorageRead, announced,
    },
};

use vmuster_proto::libvirt::{domain, pool};

use crate::libvirt_files::libvirt_files;

/// Answers at `socket` until the test ends.
pub fn serve_reader(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("a socket");
    let files = Arc::new(libvirt_files("x86_64").into_iter().collect::<BTreeMap<_, _>>());
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("an agent"), &files);
        }
    });
}

/// An agent that has no more time hangs up; that is no failure here.
fn answer(mut stream: UnixStream, files: &BTreeMap<&'static str, String>) {
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length).expect("a length");
    let mut question = vec![0; announced(length, QUESTION_MAX_BYTES).expect("a small question")];
    stream.read_exact(&mut question).expect("a question");
    let answers = match Question::from_bytes(&question).expect("a question") {
        Question::Guest { .. } => vec![Answer::Guest(Box::new(guest::assemble(&texts(files))))],
        Question::Domains { image_pools, .. } => house(files, &image_pools),
        Question::Record => vec![Answer::Record(words(files))],
        _ => vec![],
    };
    let standing = Answer::Standing("9.0.0 7.2.22".to_owned());
    let frames: Vec<u8> = [standing].iter().chain(&answers).flat_map(Answer::to_frame).collect();
    drop(stream.write_all(&frames));
}

fn texts(files: &BTreeMap<&'static str, String>) -> GuestTexts {
    let text = |name: &str| Text { source: name.to_owned(), content: Ok(files[name].clone()) };
    let said = |text: &str| Some(text.to_owned());
    GuestTexts {
        capabilities: text("capabilities.xml"),
        domain_capabilities: text("domcapabilities.xml"),
        expanded: Some(text("host-model-expanded.xml")),
        versions: Versions { driver: said("QEMU"), libvirt: said("9.0.0"), qemu: said("7.2.22") },
    }
}

fn house(files: &BTreeMap<&'static str, String>, image_pools: &[String]) -> Vec<Answer> {
    let below = |directory: &'static str| {
        files.iter().filter(move |(name, _)| name.starts_with(directory)).map(|(_, text)| text)
    };
    let figures: Figures = serde_json::from_str(&files["figures.json"]).expect("figures");
    let mut domains: Vec<_> = below("domains/").map(|text| domain::parse(text).expect("a guest")).collect();
    for domain in &mut domains {
        if let Some(figures) = figures.domains.get(&domain.uuid) {
            domains::measure(domain, figures);
        }
    }
    let mut pools: Vec<_> = below("pools/").map(|text| pool::parse(text).expect("a pool")).collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    for pool in &mut pools {
        pool.state.clone_from(&figures.pools[&pool.name].state);
    }
    let images = figures.images.filter(|_| !image_pools.is_empty());
    let storage = StorageRead { pools: Some(pools), images, issues: vec![] };
    vec![
        Answer::Domains(Box::new(DomainsRead { domains, ..DomainsRead::default() })),
        Answer::StoppedDisks(DiskSizes::new()),
        Answer::Storage(Box::new(storage)),
    ]
}

/// More than it should say, in names that it should not.
fn words(files: &BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    let words = files.iter().filter(|(name, _)| !name.contains('/') && **name != "figures.json");
    let mut words: BTreeMap<_, _> = words.map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    words.insert("../../escaped".to_owned(), "hunter2".to_owned());
    words
}
