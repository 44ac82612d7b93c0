//! Extension names in riscv's `isa` line: "rv64imafdc_zicsr_zba".

/// The single letters after rv32 or rv64, then the names that begin with z, s or x and stand between underscores.
/// Older kernels put no underscore before the first of those ("rv64imafdcsstc"), which is told from single letters by
/// its length. None if it is no isa line.
pub(super) fn extensions(isa: &str) -> Option<Vec<String>> {
    let isa = isa.to_ascii_lowercase();
    let rest = isa.strip_prefix("rv32").or_else(|| isa.strip_prefix("rv64"))?;
    let mut parts = rest.split('_');
    let (letters, first_name) = split_letters(parts.next().unwrap_or_default());
    let mut names: Vec<String> = letters.chars().map(String::from).collect();
    let long = std::iter::once(first_name).chain(parts).filter(|name| !name.is_empty());
    names.extend(long.map(str::to_owned));
    Some(names)
}

fn split_letters(text: &str) -> (&str, &str) {
    let begins_name = |(at, letter): (usize, char)| {
        // "su" at the end is supervisor and user mode, as in old device trees; "sstc" is a name.
        let is_name = matches!(letter, 'z' | 'x') || (letter == 's' && text.len() - at > 2);
        is_name.then_some(at)
    };
    text.split_at(text.char_indices().find_map(begins_name).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_forms_kernels_print() {
        let names = |isa| extensions(isa).expect("an isa").join(" ");
        assert_eq!(names("rv64imafdc"), "i m a f d c");
        assert_eq!(
            names("rv64imafdcvh_zicbom_zicsr_sstc_xtheadba"),
            "i m a f d c v h zicbom zicsr sstc xtheadba"
        );
        assert_eq!(names("rv64imafdcsu"), "i m a f d c s u");
        assert_eq!(names("rv64imafdcsstc_svpbmt"), "i m a f d c sstc svpbmt");
        assert_eq!(names("RV32IMA"), "i m a");
        assert_eq!(extensions("imafdc"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(rv64)?.*") {
            let _ = extensions(&text);
        }
    }
}
