//! /proc/cpuinfo of every architecture: which CPUs it lists, the flags of each, and what the CPU is.
//!
//! The file is a block of "key : value" lines for each CPU; what is true of all CPUs stands outside those blocks
//! (s390x, old arm, ppc64, loongarch64). Keys differ by architecture, and tell which one it is.

use std::collections::HashMap;

use vmuster_proto::model::CpuSet;

use super::{cpuinfo_identity, riscv_isa};

/// What /proc/cpuinfo says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cpuinfo {
    /// As `uname -m` has it; ppc64le is not told from ppc64. None if the form is of no known architecture.
    pub arch: Option<&'static str>,
    /// What the first CPU is.
    pub identity: Identity,
    /// The CPUs, in the file's order.
    pub processors: Vec<Processor>,
    /// Each different list of flags once.
    pub flag_lists: Vec<Vec<String>>,
    /// Identity fields that are no number, and so are None.
    pub bad_fields: Vec<CpuinfoError>,
}

/// One CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// The kernel's number.
    pub id: u32,
    /// Its flags' place in [`Cpuinfo::flag_lists`]; None on architectures whose kernels print none.
    pub flags: Option<usize>,
}

/// What a CPU is. Which keys fill a field on which architecture: proto/vmuster/v1/host.proto, message Cpu.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "documented in host.proto")]
pub struct Identity {
    pub vendor: Option<String>,
    pub model_name: Option<String>,
    pub family: Option<u32>,
    pub model: Option<u32>,
    pub stepping: Option<u32>,
    pub microcode: Option<String>,
    pub physical_address_bits: Option<u32>,
    pub virtual_address_bits: Option<u32>,
}

/// Text that is not cpuinfo, or one bad field of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {reason}")]
pub struct CpuinfoError {
    /// Counted from 1.
    pub line: usize,
    /// The line's key.
    pub field: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads the CPUs, their flags and the identity of the first. Unknown keys and bytes that are not UTF-8 are passed over.
///
/// # Errors
/// A CPU's number is none or too large, or is there twice.
pub fn parse(text: &[u8]) -> Result<Cpuinfo, CpuinfoError> {
    let mut reader = Reader::default();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        reader.line(at + 1, line)?;
    }
    Ok(reader.finish())
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) line: usize,
    pub(super) text: &'a [u8],
}

/// No kernel prints a quarter of this. Each line is compared with all keys before it: a recorded file of a hundred
/// thousand keys would take minutes.
const KEYS_MAX: usize = 256;

/// The first value of each key, whatever its case: loongarch64 writes "Model Name". Few enough for a plain search.
#[derive(Debug, Default)]
pub(super) struct Keys<'a>(Vec<(&'a [u8], Value<'a>)>);

impl<'a> Keys<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.find(key.as_bytes())
    }

    fn find(&self, key: &[u8]) -> Option<Value<'a>> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| *value)
    }

    fn add(&mut self, key: &'a [u8], value: Value<'a>) {
        if self.0.len() < KEYS_MAX && self.find(key).is_none() {
            self.0.push((key, value));
        }
    }
}

/// A line of flags and how its names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FlagLine<'a> {
    Words(&'a [u8]),
    Isa(&'a [u8]),
}

#[derive(Debug, Default)]
struct Reader<'a> {
    processors: Vec<Processor>,
    seen: CpuSet,
    /// The CPU whose block this is: its place in `processors`.
    current: Option<usize>,
    first: Keys<'a>,
    outside: Keys<'a>,
    /// With the number of the line.
    flag_lines: Vec<(usize, FlagLine<'a>)>,
    flag_places: HashMap<FlagLine<'a>, usize>,
    /// CPUs follow each other with equal flags: spares hashing a kilobyte for each.
    last_flags: Option<(FlagLine<'a>, usize)>,
    outside_flags: Option<usize>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: usize, line: &'a [u8]) -> Result<(), CpuinfoError> {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let key = halves.next().unwrap_or_default().trim_ascii();
        let Some(text) = halves.next().map(<[u8]>::trim_ascii) else {
            if key.is_empty() {
                self.current = None;
            }
            return Ok(());
        };
        let value = Value { line: number, text };
        match key {
            b"processor" => {
                self.processor(value)?;
                self.current = self.processors.len().checked_sub(1);
            }
            b"flags" | b"Features" | b"features" => self.flags(FlagLine::Words(text), number),
            // "isa" is what all harts share; "hart isa", further down in newer kernels, is this one's own.
            b"isa" | b"hart isa" => {
                self.flags(FlagLine::Isa(text), number);
                self.key(key, value);
            }
            _ => match key.strip_prefix(b"processor ").filter(|id| id.iter().all(u8::is_ascii_digit)) {
                // s390x: "processor 0: version = 00,  identification = 178B58,  machine = 3931".
                Some(id) => {
                    self.processor(Value { line: number, text: id })?;
                    self.current = None;
                    self.assignments(value);
                }
                None => self.key(key, value),
            },
        }
        Ok(())
    }

    fn processor(&mut self, value: Value<'a>) -> Result<(), CpuinfoError> {
        let failed = |reason| CpuinfoError { line: value.line, field: "processor".to_owned(), reason };
        let text = std::str::from_utf8(value.text).unwrap_or_default();
        let id: u32 = text.parse().map_err(|_| failed("not a CPU number"))?;
        if self.seen.contains(id) {
            return Err(failed("there twice"));
        }
        if !self.seen.insert(id) {
            return Err(failed("too large a CPU number"));
        }
        self.processors.push(Processor { id, flags: None });
        Ok(())
    }

    fn key(&mut self, key: &'a [u8], value: Value<'a>) {
        match self.current {
            None => self.outside.add(key, value),
            Some(0) => self.first.add(key, value),
            Some(_) => {}
        }
    }

    fn assignments(&mut self, value: Value<'a>) {
        for part in value.text.split(|byte| *byte == b',') {
            let mut halves = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            if let (Some(key), Some(text)) = (halves.next(), halves.next()) {
                self.outside.add(key, Value { line: value.line, text });
            }
        }
    }

    fn flags(&mut self, line: FlagLine<'a>, number: usize) {
        let place = match self.last_flags {
            Some((last, place)) if last == line => place,
            _ => {
                let next = self.flag_lines.len();
                let place = *self.flag_places.entry(line).or_insert(next);
                if place == next {
                    self.flag_lines.push((number, line));
                }
                place
            }
        };
        self.last_flags = Some((line, place));
        match self.current {
            None => self.outside_flags = self.outside_flags.or(Some(place)),
            Some(at) => {
                if let Some(processor) = self.processors.get_mut(at) {
                    processor.flags = Some(place);
                }
            }
        }
    }

    fn finish(self) -> Cpuinfo {
        let mut bad_fields = Vec::new();
        let mut flag_lists = Vec::new();
        for (number, line) in self.flag_lines {
            flag_lists.push(match line {
                FlagLine::Words(text) => {
                    String::from_utf8_lossy(text).split_ascii_whitespace().map(str::to_owned).collect()
                }
                FlagLine::Isa(text) => {
                    riscv_isa::extensions(&String::from_utf8_lossy(text)).unwrap_or_else(|| {
                        bad_fields.push(CpuinfoError {
                            line: number,
                            field: "isa".to_owned(),
                            reason: "neither rv32… nor rv64…",
                        });
                        Vec::new()
                    })
                }
            });
        }
        let mut processors = self.processors;
        for processor in &mut processors {
            processor.flags = processor.flags.or(self.outside_flags);
        }
        let first_flags = processors.first().and_then(|first| flag_lists.get(first.flags?));
        let has_long_mode = first_flags.is_some_and(|flags| flags.iter().any(|flag| flag == "lm"));
        let arch = cpuinfo_identity::arch(&self.first, &self.outside, has_long_mode);
        let identity = cpuinfo_identity::identity(arch, &self.first, &self.outside, &mut bad_fields);
        Cpuinfo { arch, identity, processors, flag_lists, bad_fields }
    }
}

#[cfg(test)]
#[path = "cpuinfo_tests.rs"]
mod tests;
