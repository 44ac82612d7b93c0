//! Callers' CPU definitions: checked, then asked of this host's libvirt.
//!
//! Knows what a definition may be and what each refusal means. Must not know the wire: nothing of a caller's text goes any
//! further than its parser.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use vmuster_proto::libvirt::{XmlError, cpu, render};
use vmuster_proto::model::{CpuComparison, CpuDefinition, IssueKind};

use crate::hypervisor::{
    protocol::{Answer, QUESTION_CPUS_MAX, Question},
    reader::{ReaderError, Waits, ask},
};

/// Definitions in one request: of as many hosts or guests as a fleet has.
pub const TEXTS_MAX: usize = 1000;

/// Different CPUs of one baseline: libvirt's protocol takes no more (REMOTE_CPU_BASELINE_MAX). A fleet has some ten.
pub const CPUS_MAX: usize = QUESTION_CPUS_MAX;

/// Asked at once; the reader answers one after another, and each question here holds a thread.
const AT_ONCE_MAX: usize = 2;

/// For others' questions to be answered first.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// The reader may be busy with a list of guests, and libvirt cold.
const WAITS: Waits = Waits { standing: Duration::from_secs(3), answer: Duration::from_secs(15) };

/// No verdict.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// The caller's definition makes no sense.
    #[error("cpu_xml[{index}]: {source}")]
    Invalid {
        /// Which one.
        index: usize,
        /// Why.
        #[source]
        source: XmlError,
    },
    /// None, or far too many.
    #[error(
        "a baseline is of 1 to {TEXTS_MAX} definitions of CPUs, not of {0}; leave out those that are alike"
    )]
    Count(usize),
    /// More than libvirt takes at once.
    #[error(
        "these are {0} different CPUs, and libvirt takes at most {CPUS_MAX} at once; ask for baselines of at most \
         {CPUS_MAX} each, then for the baseline of what they give"
    )]
    Different(usize),
    /// libvirt will not have it.
    #[error("libvirt refuses: {0}")]
    Refused(String),
    /// Nobody to ask.
    #[error("{0}")]
    Unavailable(String),
    /// Others ask.
    #[error("{AT_ONCE_MAX} questions about CPUs are being answered already; try again")]
    Busy,
}

/// Asks the reader, a few questions at once.
#[derive(Debug, Clone)]
pub struct CpuQuestions {
    /// None: of a recorded host.
    socket: Option<PathBuf>,
    turns: Arc<Semaphore>,
}

impl CpuQuestions {
    /// `socket`: the reader's; None of a recorded host, whose libvirt cannot be asked.
    #[must_use]
    pub fn new(socket: Option<PathBuf>) -> Self {
        Self { socket, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// A CPU that all of these can run and that migrates, as a libvirt `<cpu>` element.
    ///
    /// # Errors
    /// See [`CpuError`].
    pub async fn baseline(&self, cpus: Vec<String>, expand_features: bool) -> Result<String, CpuError> {
        if cpus.is_empty() || cpus.len() > TEXTS_MAX {
            return Err(CpuError::Count(cpus.len()));
        }
        let question = move || Ok(Question::Baseline { cpus: different(&cpus)?, expand_features });
        match self.put(question).await? {
            Answer::Baseline(cpu) => Ok(render::cpu(&cpu)),
            _ => Err(CpuError::Unavailable(ReaderError::Unexpected.to_string())),
        }
    }

    /// Whether this host can run a CPU, and in libvirt's words why not.
    ///
    /// # Errors
    /// See [`CpuError`].
    pub async fn compare(&self, cpu: String) -> Result<(CpuComparison, String), CpuError> {
        let question = move || Ok(Question::Comparison(Box::new(of_caller(0, &cpu)?)));
        match self.put(question).await? {
            Answer::Comparison(comparison, detail) => Ok((comparison, detail)),
            _ => Err(CpuError::Unavailable(ReaderError::Unexpected.to_string())),
        }
    }

    /// `question` parses a caller's text, which takes its time: in its turn, and on a thread that may block.
    async fn put(
        &self,
        question: impl FnOnce() -> Result<Question, CpuError> + Send + 'static,
    ) -> Result<Answer, CpuError> {
        let socket = self.socket.clone();
        let turn = timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(CpuError::Busy)?;
        let asked = spawn_blocking(move || {
            // Held until the question has ended, also when nobody waits for it any more.
            let _turn = turn;
            let question = question()?;
            let no_libvirt = || CpuError::Unavailable("a recorded host has no libvirt to ask".to_owned());
            let asked = ask(&socket.ok_or_else(no_libvirt)?, &question, WAITS).map_err(unanswered)?;
            asked.answer.ok_or_else(|| CpuError::Unavailable(ReaderError::Unexpected.to_string()))
        });
        asked.await.map_err(|error| CpuError::Unavailable(error.to_string()))?
    }
}

fn unanswered(error: ReaderError) -> CpuError {
    match error {
        ReaderError::Failed(issue) if issue.kind == IssueKind::Malformed => CpuError::Refused(issue.detail),
        error => CpuError::Unavailable(error.told().detail),
    }
}

fn of_caller(index: usize, text: &str) -> Result<CpuDefinition, CpuError> {
    cpu::of_caller(text).map_err(|source| CpuError::Invalid { index, source })
}

/// Each different CPU once: most hosts of a fleet are alike.
fn different(texts: &[String]) -> Result<Vec<CpuDefinition>, CpuError> {
    let mut seen = BTreeSet::new();
    let mut cpus = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let cpu = of_caller(index, text)?;
        if seen.insert(render::cpu(&cpu)) {
            cpus.push(cpu);
        }
    }
    if cpus.len() > CPUS_MAX { Err(CpuError::Different(cpus.len())) } else { Ok(cpus) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("<cpu><model>m{number}</model></cpu>")).collect()
    }

    async fn problem(cpus: Vec<String>) -> String {
        CpuQuestions::new(None).baseline(cpus, false).await.expect_err("refused").to_string()
    }

    #[tokio::test]
    async fn a_baseline_is_of_as_many_cpus_as_libvirt_takes() {
        const RECORDED: &str = "a recorded host has no libvirt to ask";
        assert_eq!(problem(cpus(CPUS_MAX)).await, RECORDED, "nothing else is wrong with it");
        assert_eq!(
            problem(cpus(CPUS_MAX + 1)).await,
            "these are 257 different CPUs, and libvirt takes at most 256 at once; ask for baselines of at most 256 \
             each, then for the baseline of what they give"
        );
        let alike = [cpus(CPUS_MAX), cpus(CPUS_MAX), cpus(CPUS_MAX)].concat();
        assert_eq!(problem(alike).await, RECORDED, "768 definitions of 256 CPUs");
        for count in [0, TEXTS_MAX + 1] {
            let refused = format!("1 to 1000 definitions of CPUs, not of {count};");
            assert!(problem(cpus(count)).await.contains(&refused));
        }
    }

    #[test]
    fn cpus_are_alike_whatever_their_text() {
        let feature = |name: &str| format!("<feature name='{name}'/>");
        let cpu = |features: String| format!("<cpu>\n<model>m</model>{features}</cpu>");
        let texts = [
            cpu(feature("a") + &feature("b")),
            cpu(feature("b") + " " + &feature("a")),
            cpu(feature("a")),
            "<cpu><model>m</model><topology sockets='1'/><feature name='a'/></cpu>".to_owned(),
        ];
        assert_eq!(different(&texts).map(|cpus| cpus.len()).ok(), Some(2));
        let wrong = ["<cpu/>".to_owned(), "<cpu id='1'/>".to_owned()];
        let refused = different(&wrong).expect_err("refused").to_string();
        assert!(refused.starts_with("cpu_xml[1]: "), "{refused}");
    }

    #[tokio::test]
    async fn definitions_are_parsed_in_their_turn() {
        let questions = CpuQuestions::new(None);
        let turns = Arc::clone(&questions.turns).acquire_many_owned(2).await.expect("turns");
        let asked = questions.compare("<script/>".to_owned());
        assert!(matches!(asked.await, Err(CpuError::Busy)), "nothing was parsed");
        drop(turns);
        assert!(matches!(questions.compare("<script/>".to_owned()).await, Err(CpuError::Invalid { .. })));
    }
}
