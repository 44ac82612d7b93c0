//! /proc/sysinfo of s390x: the machine, the partitions and the hypervisors above them.

/// The lines vmuster uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sysinfo {
    /// Manufacturer: "IBM".
    pub manufacturer: Option<String>,
    /// Type: "3906".
    pub machine_type: Option<String>,
    /// Model: "704 M04".
    pub model: Option<String>,
    /// VM00 Control Program, the innermost hypervisor: "z/VM 6.4.0", "KVM/Linux". None in a partition of the machine.
    pub control_program: Option<String>,
}

/// Reads the lines vmuster uses and passes over the others; the first of a name counts.
#[must_use]
pub fn parse(text: &str) -> Sysinfo {
    let mut read = Sysinfo::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let field = match key.trim() {
            "Manufacturer" => &mut read.manufacturer,
            "Type" => &mut read.machine_type,
            "Model" => &mut read.model,
            "VM00 Control Program" => &mut read.control_program,
            _ => continue,
        };
        // Columns are filled with blanks.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if field.is_none() && !value.is_empty() {
            *field = Some(value);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_kernels_table() {
        let text = "Manufacturer:         IBM             \nType:                 3906            \n\
            Model:                704              M04             \nSequence Code:        00000000000829D8\n\n\
            LPAR Name:            R35LP49 \nVM00 Name:            guest1  \n\
            VM00 Control Program: z/VM    6.4.0   \nVM01 Control Program: KVM/Linux\n";
        let read = parse(text);
        let fields = [&read.manufacturer, &read.machine_type, &read.model, &read.control_program];
        assert_eq!(fields.map(Option::as_deref), ["IBM", "3906", "704 M04", "z/VM 6.4.0"].map(Some));
        assert_eq!(parse("Manufacturer:   \nwhat\n"), Sysinfo::default());
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "(?s)((Type|Model|VM00 Control Program): *|\n|.){0,20}") {
            let _ = parse(&text);
        }
    }
}
