//! What an agent and its reader say to each other, and how it goes over their socket (proto/vmuster/v1/reader.proto).
//!
//! Knows messages and frames. Must not know libvirt, nor when something is asked.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use vmuster_proto::{
    convert::{self, DecodeError},
    model::{Bytes, CpuComparison, CpuDefinition, Domain, Image, Issue, Promised, StoragePool},
    pb::{self, reader_answer::Answer as PbAnswer, reader_question::Question as PbQuestion},
};

use super::{figures::DiskFigures, guest::Guests, weight};

/// The length before each message.
pub const LENGTH_BYTES: usize = 4;

/// The largest question: a baseline of 256 CPUs with 500 features each has 2 MB.
pub const QUESTION_MAX_BYTES: usize = 2 << 20;

/// CPUs in one question: libvirt's protocol takes no more (REMOTE_CPU_BASELINE_MAX).
pub const QUESTION_CPUS_MAX: usize = 256;

/// Features of all CPUs, or pools, in one question: what fits into it if each has its least real size. Fifty bytes each in
/// memory.
pub const QUESTION_ENTRIES_MAX: usize = QUESTION_MAX_BYTES / 16;

/// The largest answer: 10,000 domains with their CPU definitions have some 20 MB.
pub const ANSWER_MAX_BYTES: usize = 32 << 20;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The connection failed.
    #[error("the connection between agent and reader broke")]
    Io(#[from] std::io::Error),
    /// It is larger than any real one.
    #[error("a message of {0} bytes is larger than any that agent and reader exchange")]
    TooLarge(usize),
    /// It would take far more memory than it has bytes.
    #[error("a question with {0} entries of a kind is larger than any that an agent asks (limit {1})")]
    TooMany(usize, usize),
    /// It is not of this protocol.
    #[error("agent and reader do not understand each other; are both of version {}?", env!("CARGO_PKG_VERSION"))]
    Decode(#[source] prost::DecodeError),
    /// It is of this protocol and makes no sense.
    #[error("agent and reader do not understand each other")]
    Field(#[from] DecodeError),
    /// It says nothing this version knows.
    #[error("agent and reader do not understand each other; are both of version {}?", env!("CARGO_PKG_VERSION"))]
    Empty,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether libvirt answers.
    Standing,
    /// What guests can be given.
    Guest {
        /// What that depends on beside libvirt and QEMU: with the same text the reader may give what it found before.
        dependencies: String,
    },
    /// Guests and storage.
    Domains {
        /// Pools whose volumes are images.
        image_pools: Vec<String>,
        /// Do not look at disks of guests that do not run: their storage hung lately.
        leave_out_stopped_disks: bool,
        /// Do not look at pools: one hung lately.
        leave_out_storage: bool,
    },
    /// A CPU that all of these can run.
    Baseline {
        /// Checked already; the reader checks again.
        cpus: Vec<CpuDefinition>,
        /// List every feature of the result.
        expand_features: bool,
    },
    /// Whether this host can run a CPU.
    Comparison(Box<CpuDefinition>),
    /// libvirt's own words, for a capture.
    Record,
}

/// What is answered. Before every other answer but [`Answer::Failure`] comes a [`Answer::Standing`], as soon as libvirt
/// has said anything at all: who waits then knows that it does not hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It could not be answered. The issue has no section: who asked knows what for.
    Failure(Issue),
    /// What the guest layer depends on; equal texts mean that it still holds.
    Standing(String),
    /// To [`Question::Guest`].
    Guest(Box<Guests>),
    /// To [`Question::Domains`], the first of up to three: what may hang comes after what does not.
    Domains(Box<DomainsRead>),
    /// To [`Question::Domains`], after the domains.
    StoppedDisks(DiskSizes),
    /// To [`Question::Domains`], the last.
    Storage(Box<StorageRead>),
    /// To [`Question::Baseline`].
    Baseline(Box<CpuDefinition>),
    /// To [`Question::Comparison`]: the verdict, and why it is incompatible.
    Comparison(CpuComparison, String),
    /// To [`Question::Record`]: content by path below a recorded host's directory.
    Record(BTreeMap<String, String>),
}

/// The guests of a host and where they are stored. None where an issue says why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guesthouse {
    /// By UUID.
    pub domains: Option<Vec<Domain>>,
    /// By name.
    pub pools: Option<Vec<StoragePool>>,
    /// Of the pools asked for; None if none was.
    pub images: Option<Vec<Image>>,
    /// What all domains may use, those included whose definition could not be read.
    pub promised: Option<Promised>,
    /// What is absent, and why.
    pub issues: Vec<Issue>,
}

/// Guests as libvirt told of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainsRead {
    /// Definitions, measured.
    pub domains: Vec<Domain>,
    /// Those whose definition could not be read.
    pub undefined: Vec<Domain>,
    /// How long ago libvirt said so.
    pub age: Duration,
    /// What is absent, and why.
    pub issues: Vec<Issue>,
}

/// By UUID and target.
pub type DiskSizes = BTreeMap<(String, String), DiskFigures>;

/// Where guests are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageRead {
    /// By name.
    pub pools: Option<Vec<StoragePool>>,
    /// Of the pools asked for.
    pub images: Option<Vec<Image>>,
    /// What is absent, and why.
    pub issues: Vec<Issue>,
}

/// A message with its length before it.
fn frame(message: &impl prost::Message) -> Vec<u8> {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    // A vector grows as it must.
    let _ = message.encode(&mut frame);
    frame
}

/// The length that four bytes announce.
///
/// # Errors
/// It is above `max_bytes`.
pub fn announced(length: [u8; LENGTH_BYTES], max_bytes: usize) -> Result<usize, ProtocolError> {
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > max_bytes { Err(ProtocolError::TooLarge(length)) } else { Ok(length) }
}

impl Question {
    /// For the socket.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let question = match self {
            Self::Standing => PbQuestion::Standing(pb::ReaderStandingQuestion {}),
            Self::Guest { dependencies } => {
                PbQuestion::Guest(pb::ReaderGuestQuestion { dependencies: dependencies.clone() })
            }
            Self::Domains { image_pools, leave_out_stopped_disks, leave_out_storage } => {
                PbQuestion::Domains(pb::ReaderDomainsQuestion {
                    image_pools: image_pools.clone(),
                    leave_out_stopped_disks: *leave_out_stopped_disks,
                    leave_out_storage: *leave_out_storage,
                })
            }
            Self::Baseline { cpus, expand_features } => PbQuestion::Baseline(pb::ReaderBaselineQuestion {
                cpus: cpus.iter().map(Into::into).collect(),
                expand_features: *expand_features,
            }),
            Self::Comparison(cpu) => {
                PbQuestion::Comparison(pb::ReaderComparisonQuestion { cpu: Some((&**cpu).into()) })
            }
            Self::Record => PbQuestion::Record(pb::ReaderRecordQuestion {}),
        };
        frame(&pb::ReaderQuestion { question: Some(question) })
    }

    /// From the socket, the length taken off.
    ///
    /// # Errors
    /// It is no question.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        weight::check(bytes)?;
        let message = pb::ReaderQuestion::decode(bytes).map_err(ProtocolError::Decode)?;
        Ok(match message.question.ok_or(ProtocolError::Empty)? {
            PbQuestion::Standing(pb::ReaderStandingQuestion {}) => Self::Standing,
            PbQuestion::Guest(question) => Self::Guest { dependencies: question.dependencies },
            PbQuestion::Domains(question) => Self::Domains {
                image_pools: question.image_pools,
                leave_out_stopped_disks: question.leave_out_stopped_disks,
                leave_out_storage: question.leave_out_storage,
            },
            PbQuestion::Baseline(question) => {
                let cpus = question.cpus.into_iter().map(CpuDefinition::try_from);
                Self::Baseline {
                    cpus: cpus.collect::<Result<_, _>>()?,
                    expand_features: question.expand_features,
                }
            }
            PbQuestion::Comparison(question) => {
                let cpu = question.cpu.ok_or(ProtocolError::Empty)?;
                Self::Comparison(Box::new(CpuDefinition::try_from(cpu)?))
            }
            PbQuestion::Record(pb::ReaderRecordQuestion {}) => Self::Record,
        })
    }
}

impl Answer {
    /// For the socket.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let answer = match self {
            Self::Failure(issue) => {
                PbAnswer::Failure(convert::issues_to_pb(std::slice::from_ref(issue)).remove(0))
            }
            Self::Standing(key) => PbAnswer::Standing(pb::ReaderStanding { key: key.clone() }),
            Self::Guest(guests) => PbAnswer::Guest(pb::ReaderGuest {
                guest: guests.guest.as_ref().map(Into::into),
                hypervisor: guests.hypervisor.as_ref().map(Into::into),
                issues: convert::issues_to_pb(&guests.issues),
            }),
            Self::Domains(read) => PbAnswer::Domains(domains_to_pb(read)),
            Self::StoppedDisks(sizes) => PbAnswer::StoppedDisks(sizes_to_pb(sizes)),
            Self::Storage(read) => PbAnswer::Storage(storage_to_pb(read)),
            Self::Baseline(cpu) => PbAnswer::Baseline((&**cpu).into()),
            Self::Comparison(comparison, detail) => PbAnswer::Comparison(pb::CompareCpuResponse {
                comparison: pb::CpuComparison::from(*comparison).into(),
                detail: detail.clone(),
            }),
            Self::Record(files) => {
                PbAnswer::Record(pb::ReaderRecord { files: files.clone().into_iter().collect() })
            }
        };
        frame(&pb::ReaderAnswer { answer: Some(answer) })
    }

    /// From the socket, the length taken off.
    ///
    /// # Errors
    /// It is no answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let message = pb::ReaderAnswer::decode(bytes).map_err(ProtocolError::Decode)?;
        Ok(match message.answer.ok_or(ProtocolError::Empty)? {
            PbAnswer::Failure(issue) => Self::Failure(Issue::try_from(issue)?),
            PbAnswer::Standing(standing) => Self::Standing(standing.key),
            PbAnswer::Guest(answer) => Self::Guest(Box::new(Guests {
                guest: answer.guest.map(TryInto::try_into).transpose()?,
                hypervisor: answer.hypervisor.map(TryInto::try_into).transpose()?,
                issues: convert::issues(answer.issues)?,
            })),
            PbAnswer::Domains(answer) => Self::Domains(Box::new(domains_from_pb(answer)?)),
            PbAnswer::StoppedDisks(answer) => Self::StoppedDisks(sizes_from_pb(answer)),
            PbAnswer::Storage(answer) => Self::Storage(Box::new(storage_from_pb(answer)?)),
            PbAnswer::Baseline(cpu) => Self::Baseline(Box::new(CpuDefinition::try_from(cpu)?)),
            PbAnswer::Comparison(answer) => {
                Self::Comparison(convert::cpu_comparison("comparison", answer.comparison)?, answer.detail)
            }
            PbAnswer::Record(answer) => Self::Record(answer.files.into_iter().collect()),
        })
    }
}

fn domains_to_pb(read: &DomainsRead) -> pb::ReaderDomains {
    let DomainsRead { domains, undefined, age, issues } = read;
    let undefined = undefined.iter().map(|domain| pb::ReaderUndefined { domain: Some(domain.into()) });
    pb::ReaderDomains {
        domains: Some(pb::Domains { domains: domains.iter().map(Into::into).collect() }),
        undefined: undefined.collect(),
        age_milliseconds: Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        issues: convert::issues_to_pb(issues),
    }
}

fn domains_from_pb(answer: pb::ReaderDomains) -> Result<DomainsRead, ProtocolError> {
    let pb::ReaderDomains { domains, undefined, age_milliseconds, issues } = answer;
    let domains = domains.ok_or(ProtocolError::Empty)?.domains.into_iter().map(Domain::try_from);
    let undefined = undefined.into_iter().filter_map(|one| one.domain).map(Domain::try_from);
    Ok(DomainsRead {
        domains: domains.collect::<Result<_, _>>()?,
        undefined: undefined.collect::<Result<_, _>>()?,
        age: Duration::from_millis(age_milliseconds.unwrap_or(0)),
        issues: convert::issues(issues)?,
    })
}

fn sizes_to_pb(sizes: &DiskSizes) -> pb::ReaderSizes {
    let disks = sizes.iter().map(|((uuid, target), size)| pb::ReaderDiskSize {
        uuid: uuid.clone(),
        target: target.clone(),
        virtual_bytes: size.virtual_bytes.map(|bytes| bytes.0),
        allocation_bytes: size.allocation_bytes.map(|bytes| bytes.0),
    });
    pb::ReaderSizes { disks: disks.collect() }
}

fn sizes_from_pb(answer: pb::ReaderSizes) -> DiskSizes {
    let disks = answer.disks.into_iter().map(|disk| {
        let virtual_bytes = disk.virtual_bytes.map(Bytes);
        let allocation_bytes = disk.allocation_bytes.map(Bytes);
        ((disk.uuid, disk.target), DiskFigures { virtual_bytes, allocation_bytes })
    });
    disks.collect()
}

fn storage_to_pb(read: &StorageRead) -> pb::ReaderStorage {
    let StorageRead { pools, images, issues } = read;
    let pools = pools.as_ref().map(|all| pb::StoragePools { pools: all.iter().map(Into::into).collect() });
    let images = images.as_ref().map(|all| pb::Images { images: all.iter().map(Into::into).collect() });
    pb::ReaderStorage { pools, images, issues: convert::issues_to_pb(issues) }
}

fn storage_from_pb(answer: pb::ReaderStorage) -> Result<StorageRead, DecodeError> {
    let pb::ReaderStorage { pools, images, issues } = answer;
    let pools = pools.map(|all| all.pools.into_iter().map(StoragePool::try_from).collect());
    let images = images.map(|all| all.images.into_iter().map(Image::try_from).collect());
    Ok(StorageRead {
        pools: pools.transpose()?,
        images: images.transpose()?,
        issues: convert::issues(issues)?,
    })
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
