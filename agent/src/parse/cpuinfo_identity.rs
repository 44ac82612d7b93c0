//! What a CPU is, by the keys its architecture's kernels print.

use super::cpuinfo::{CpuinfoError, Identity, Keys, Value};

/// The architecture as `uname -m` has it.
pub(super) fn arch(first: &Keys<'_>, outside: &Keys<'_>, has_long_mode: bool) -> Option<&'static str> {
    let fields = Fields { first, outside };
    let starts = |key, prefix: &[u8]| fields.get(key).is_some_and(|value| value.text.starts_with(prefix));
    if starts("vendor_id", b"IBM/S390") {
        Some("s390x")
    } else if starts("cpu family", b"Loongson") {
        Some("loongarch64")
    } else if fields.get("cpu family").is_some() {
        Some(if has_long_mode { "x86_64" } else { "i686" })
    } else if let Some(architecture) = fields.get("cpu architecture") {
        Some(if arm_architecture(architecture.text).is_some_and(|version| version >= 8) {
            "aarch64"
        } else {
            "arm"
        })
    } else if starts("isa", b"rv64") {
        Some("riscv64")
    } else if starts("isa", b"rv32") {
        Some("riscv32")
    } else if fields.get("cpu").is_some() && fields.get("revision").is_some() {
        Some("ppc64")
    } else {
        None
    }
}

/// The identity; a field that should be a number and is not goes to `bad`.
pub(super) fn identity(
    arch: Option<&str>,
    first: &Keys<'_>,
    outside: &Keys<'_>,
    bad: &mut Vec<CpuinfoError>,
) -> Identity {
    let fields = Fields { first, outside };
    let mut number = |key: &str, read: fn(&[u8]) -> Option<u32>| {
        let value = fields.get(key)?;
        checked(value, key, read(value.text), bad)
    };
    let mut identity = match arch {
        Some("x86_64" | "i686") => Identity {
            vendor: fields.text("vendor_id"),
            model_name: fields.text("model name"),
            family: number("cpu family", numeral),
            model: number("model", numeral),
            stepping: number("stepping", numeral),
            microcode: fields.text("microcode"),
            ..Identity::default()
        },
        Some("aarch64" | "arm") => Identity {
            vendor: fields.text("cpu implementer"),
            model_name: fields.text("model name"),
            family: number("cpu architecture", arm_architecture),
            model: number("cpu part", numeral),
            stepping: number("cpu variant", numeral)
                .zip(number("cpu revision", numeral))
                .map(|(variant, revision)| variant << 4 | revision),
            ..Identity::default()
        },
        Some("s390x") => Identity {
            vendor: fields.text("vendor_id"),
            model: number("machine", numeral),
            ..Identity::default()
        },
        Some("riscv64" | "riscv32") => Identity { model_name: fields.text("uarch"), ..Identity::default() },
        Some("ppc64") => Identity { model_name: fields.text("cpu"), ..Identity::default() },
        _ => Identity { model_name: fields.text("model name"), ..Identity::default() },
    };
    if let Some(value) = fields.get("address sizes") {
        let sizes = checked(value, "address sizes", address_sizes(value.text), bad);
        identity.physical_address_bits = sizes.map(|(physical, _)| physical);
        identity.virtual_address_bits = sizes.map(|(_, virtual_)| virtual_);
    }
    identity
}

struct Fields<'k, 'a> {
    first: &'k Keys<'a>,
    outside: &'k Keys<'a>,
}

impl<'a> Fields<'_, 'a> {
    /// "unknown" is how x86 kernels print what the CPU does not tell.
    fn get(&self, key: &str) -> Option<Value<'a>> {
        let value = self.first.get(key).or_else(|| self.outside.get(key))?;
        (!value.text.is_empty() && value.text != b"unknown").then_some(value)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| String::from_utf8_lossy(value.text).into_owned())
    }
}

fn checked<T>(value: Value<'_>, key: &str, read: Option<T>, bad: &mut Vec<CpuinfoError>) -> Option<T> {
    if read.is_none() {
        bad.push(CpuinfoError {
            line: value.line,
            field: key.to_owned(),
            reason: "not the number it should be",
        });
    }
    read
}

/// Decimal, or hexadecimal with "0x".
fn numeral(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// "8"; older arm64 kernels print "AArch64", older arm ones "5TEJ".
fn arm_architecture(text: &[u8]) -> Option<u32> {
    if text == b"AArch64" {
        return Some(8);
    }
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    text.get(..digits).and_then(numeral)
}

/// "46 bits physical, 48 bits virtual".
fn address_sizes(text: &[u8]) -> Option<(u32, u32)> {
    let (physical, virtual_) = std::str::from_utf8(text).ok()?.split_once(',')?;
    let bits = |text: &str, what| numeral(text.trim().strip_suffix(what)?.trim_end().as_bytes());
    Some((bits(physical, "bits physical")?, bits(virtual_, "bits virtual")?))
}
