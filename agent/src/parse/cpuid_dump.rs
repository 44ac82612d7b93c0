//! CPUID leaves as `cpuid -r` prints them.

use std::collections::BTreeMap;

use raw_cpuid::CpuIdResult;

/// First leaf of the extended range; the answer's EAX is its last leaf.
pub const EXTENDED_BASE: u32 = 0x8000_0000;

/// Answers of the CPUID instruction on one CPU, by leaf and subleaf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuidLeaves(BTreeMap<(u32, u32), CpuIdResult>);

/// Text that is not a CPUID dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {reason}")]
pub struct CpuidDumpError {
    /// Counted from 1.
    pub line: usize,
    /// The part of the line.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl CpuidLeaves {
    /// An answer, if this CPU has the leaf. Beyond the last leaf of a range Intel's CPUs answer with another leaf's data.
    #[must_use]
    pub fn get(&self, leaf: u32, subleaf: u32) -> Option<CpuIdResult> {
        let base = leaf & 0xf000_0000;
        let last = self.0.get(&(base, 0))?.eax;
        (leaf == base || leaf <= last).then(|| self.0.get(&(leaf, subleaf)).copied()).flatten()
    }

    /// Whether this CPU has the leaf, as its range's first one says, and its answer is not here.
    #[must_use]
    pub fn lacks(&self, leaf: u32) -> bool {
        let last = self.0.get(&(leaf & 0xf000_0000, 0)).map(|answer| answer.eax);
        last.is_some_and(|last| leaf <= last) && !self.0.contains_key(&(leaf, 0))
    }

    /// Keeps an answer; false if there was one.
    pub fn insert(&mut self, leaf: u32, subleaf: u32, answer: CpuIdResult) -> bool {
        self.0.insert((leaf, subleaf), answer).is_none()
    }

    /// As [`parse`] reads them.
    #[must_use]
    pub fn dump(&self) -> String {
        let line = |(&(leaf, subleaf), answer): (&(u32, u32), &CpuIdResult)| {
            let CpuIdResult { eax, ebx, ecx, edx } = answer;
            format!(
                "   {leaf:#010x} {subleaf:#04x}: eax={eax:#010x} ebx={ebx:#010x} ecx={ecx:#010x} edx={edx:#010x}\n"
            )
        };
        std::iter::once("CPU 0:\n".to_owned()).chain(self.0.iter().map(line)).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads the leaves of the first CPU in the dump.
///
/// # Errors
/// A line is neither "CPU …:" nor a leaf with its four registers, or a leaf is there twice.
pub fn parse(text: &str) -> Result<CpuidLeaves, CpuidDumpError> {
    let mut leaves = CpuidLeaves::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("CPU") {
            if leaves.is_empty() {
                continue;
            }
            break;
        }
        if line.is_empty() {
            continue;
        }
        let failed = |(field, reason)| CpuidDumpError { line: at + 1, field, reason };
        let (leaf, subleaf, answer) = leaf_line(line).map_err(failed)?;
        if !leaves.insert(leaf, subleaf, answer) {
            return Err(failed(("leaf", "there twice")));
        }
    }
    Ok(leaves)
}

type FieldError = (&'static str, &'static str);

/// `0x00000007 0x00: eax=0x00000001 ebx=0xd39ffffb ecx=0x00000818 edx=0xbc000400`.
fn leaf_line(line: &str) -> Result<(u32, u32, CpuIdResult), FieldError> {
    let (place, registers) = line.split_once(':').ok_or(("leaf", "no colon"))?;
    let (leaf, subleaf) = place.trim().split_once(' ').ok_or(("leaf", "no subleaf"))?;
    let leaf = hex(leaf).ok_or(("leaf", "not a hexadecimal number"))?;
    let subleaf = hex(subleaf.trim()).ok_or(("subleaf", "not a hexadecimal number"))?;
    let mut fields = registers.split_ascii_whitespace();
    let mut register = |name: &'static str| -> Result<u32, FieldError> {
        let value = fields.next().and_then(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.and_then(hex).ok_or((name, "not a hexadecimal number in its place"))
    };
    let answer = CpuIdResult {
        eax: register("eax")?,
        ebx: register("ebx")?,
        ecx: register("ecx")?,
        edx: register("edx")?,
    };
    Ok((leaf, subleaf, answer))
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x")?;
    // from_str_radix takes a sign.
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DUMP: &str = "CPU 0:\n   0x00000000 0x00: eax=0x00000007 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n   \
                        0x00000007 0x01: eax=0x00000020 ebx=0x00000000 ecx=0x00000000 edx=0x00000001\n   \
                        0x00000008 0x00: eax=0x00000020 ebx=0x00000000 ecx=0x00000000 edx=0x00000001\nCPU 1:\n   \
                        0x00000000 0x00: eax=0x00000001 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n";

    #[test]
    fn reads_the_first_cpu() {
        let leaves = parse(DUMP).expect("a dump");
        assert_eq!(leaves.get(0, 0).map(|l| l.ebx), Some(0x756e_6547));
        assert_eq!(leaves.get(7, 1).map(|l| (l.eax, l.edx)), Some((0x20, 1)));
        assert_eq!(leaves.get(7, 0), None);
        assert_eq!(leaves.get(8, 0), None, "beyond the last leaf");
        assert_eq!(leaves.get(0x8000_0001, 0), None, "no such range");
    }

    #[test]
    fn refuses_what_is_no_leaf() {
        let error = |text: &str| parse(text).map_err(|e| (e.line, e.field)).expect_err("an error");
        assert_eq!(error("CPU:\nhello"), (2, "leaf"));
        assert_eq!(error("0x1 0x0: eax=0x1 ebx=0x1 ecx=0x1"), (1, "edx"));
        assert_eq!(error("0x1 0x0: eax=0x1 ecx=0x1 ebx=0x1 edx=0x1"), (1, "ebx"));
        assert_eq!(error("0x+1 0x0: eax=0x1 ebx=0x1 ecx=0x1 edx=0x1"), (1, "leaf"));
        assert_eq!(error("0x1 0x0: eax=0x1ffffffff ebx=0x1 ecx=0x1 edx=0x1"), (1, "eax"));
        let twice = "0x1 0x0: eax=0x1 ebx=0x1 ecx=0x1 edx=0x1\n".repeat(2);
        assert_eq!(error(&twice), (2, "leaf"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(?s)(0x[0-9a-f]{1,9} 0x[0-9a-f]: eax=0x[0-9]{1,9} ?|CPU 0:\n|.){0,20}") {
            let _ = parse(&text);
        }
    }
}
