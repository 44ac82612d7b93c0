//! Callers' CPU definitions: checked, then asked of this host's libvirt.
//!
//! Knows what a definition may be and what each refusal means. Must not know the wire: nothing of a caller's text goes any
//! further than its parser.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use vmuster_proto::model::{CpuComparison, CpuDefinition, IssueKind};

use crate::{
    hypervisor::{
        protocol::{Answer, QUESTION_CPUS_MAX, Question},
        reader::{ReaderError, Waits, ask},
    },
    parse::libvirt::{XmlError, cpu, render},
};

/// Of one baseline.
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
    #[error("a baseline is of 1 to {CPUS_MAX} CPUs, not of {0}")]
    Count(usize),
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

    /// A CPU that all of these can run and that migrates, as a libvirt <cpu> element.
    ///
    /// # Errors
    /// See [`CpuError`].
    pub async fn baseline(&self, cpus: &[String], expand_features: bool) -> Result<String, CpuError> {
        if cpus.is_empty() || cpus.len() > CPUS_MAX {
            return Err(CpuError::Count(cpus.len()));
        }
        let cpus = cpus.iter().enumerate().map(|(index, text)| parsed(index, text));
        let cpus = cpus.collect::<Result<Vec<_>, _>>()?;
        match self.put(Question::Baseline { cpus, expand_features }).await? {
            Answer::Baseline(cpu) => Ok(render::cpu(&cpu)),
            _ => Err(CpuError::Unavailable(ReaderError::Unexpected.to_string())),
        }
    }

    /// Whether this host can run a CPU, and in libvirt's words why not.
    ///
    /// # Errors
    /// See [`CpuError`].
    pub async fn compare(&self, cpu: &str) -> Result<(CpuComparison, String), CpuError> {
        let cpu = Box::new(parsed(0, cpu)?);
        match self.put(Question::Comparison(cpu)).await? {
            Answer::Comparison(comparison, detail) => Ok((comparison, detail)),
            _ => Err(CpuError::Unavailable(ReaderError::Unexpected.to_string())),
        }
    }

    async fn put(&self, question: Question) -> Result<Answer, CpuError> {
        let no_libvirt = || CpuError::Unavailable("a recorded host has no libvirt to ask".to_owned());
        let socket = self.socket.clone().ok_or_else(no_libvirt)?;
        let turn = timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(CpuError::Busy)?;
        let asked = spawn_blocking(move || {
            // Held until the question has ended, also when nobody waits for it any more.
            let _turn = turn;
            ask(&socket, &question, WAITS)
        });
        let asked = asked.await.map_err(|error| CpuError::Unavailable(error.to_string()))?;
        match asked {
            Ok(asked) => {
                asked.answer.ok_or_else(|| CpuError::Unavailable(ReaderError::Unexpected.to_string()))
            }
            Err(ReaderError::Failed(issue)) if issue.kind == IssueKind::Malformed => {
                Err(CpuError::Refused(issue.detail))
            }
            Err(error) => Err(CpuError::Unavailable(error.told().detail)),
        }
    }
}

fn parsed(index: usize, text: &str) -> Result<CpuDefinition, CpuError> {
    cpu::of_caller(text).map_err(|source| CpuError::Invalid { index, source })
}
