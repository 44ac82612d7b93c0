//! One sample of each architecture's form, and what must be refused.

use proptest::prelude::*;

use super::*;

const X86: &[u8] = b"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n\
    model name\t: Intel(R) Xeon(R)   X  @ 2.10GHz\nstepping\t: 4\nmicrocode\t: 0x2007108\nfpu\t\t: yes\n\
    flags\t\t: fpu vme lm\nvmx flags\t: vnmi\nbugs\t\t: spectre_v1\naddress sizes\t: 46 bits physical, 48 bits virtual\n\
    power management:\n\nprocessor\t: 2\nvendor_id\t: GenuineIntel\nmodel\t\t: 86\nflags\t\t: fpu vme lm\n\n\
    processor\t: 3\nflags\t\t: fpu lm avx\n\n";

fn flags(info: &Cpuinfo, at: usize) -> String {
    let place = info.processors.get(at).and_then(|processor| processor.flags);
    place.map_or_else(|| "-".to_owned(), |place| info.flag_lists[place].join(" "))
}

#[test]
fn x86() {
    let info = parse(X86).expect("cpuinfo");
    assert_eq!(info.arch, Some("x86_64"));
    assert_eq!(info.processors.iter().map(|p| p.id).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(
        [flags(&info, 0), flags(&info, 1), flags(&info, 2)],
        ["fpu vme lm", "fpu vme lm", "fpu lm avx"]
    );
    assert_eq!(info.flag_lists.len(), 2, "equal lists are kept once");
    let identity = Identity {
        vendor: Some("GenuineIntel".to_owned()),
        model_name: Some("Intel(R) Xeon(R)   X  @ 2.10GHz".to_owned()),
        family: Some(6),
        model: Some(85),
        stepping: Some(4),
        microcode: Some("0x2007108".to_owned()),
        physical_address_bits: Some(46),
        virtual_address_bits: Some(48),
    };
    assert_eq!((info.identity, info.bad_fields), (identity, vec![]));
}

#[test]
fn arm64() {
    let text = b"processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n\
        CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 0).as_str()), (Some("aarch64"), "fp asimd"));
    assert_eq!((info.identity.vendor.as_deref(), info.identity.family), (Some("0x41"), Some(8)));
    assert_eq!((info.identity.model, info.identity.stepping), (Some(3340), Some(0x31)));
    // Flags and identity after the CPUs, as older arm kernels print them.
    let text = b"Processor\t: AArch64 rev 0\nprocessor\t: 0\nprocessor\t: 1\n\nfeatures\t: fp\nCPU architecture: AArch64\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 1).as_str(), info.processors.len()), (Some("aarch64"), "fp", 2));
}

#[test]
fn s390x() {
    let text = b"vendor_id       : IBM/S390\n# processors    : 2\nfeatures\t: esan3 zarch \n\
        processor 0: version = 00,  identification = 178B58,  machine = 3931\n\
        processor 7: version = 00,  identification = 178B58,  machine = 3931\n\n\
        cpu number      : 0\nmachine         : 3931\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!(
        (info.arch, info.processors.len(), flags(&info, 1).as_str()),
        (Some("s390x"), 2, "esan3 zarch")
    );
    assert_eq!((info.identity.vendor.as_deref(), info.identity.model), (Some("IBM/S390"), Some(3931)));
}

#[test]
fn ppc64() {
    let text = b"processor\t: 0\ncpu\t\t: POWER9 (raw), altivec supported\nclock\t\t: 2166.000000MHz\n\
        revision\t: 2.2 (pvr 004e 1202)\n\ntimebase\t: 512000000\nplatform\t: PowerNV\nmodel\t\t: 8335-GTH\n\
        machine\t\t: PowerNV 8335-GTH\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 0).as_str(), info.bad_fields.len()), (Some("ppc64"), "-", 0));
    assert_eq!(info.identity.model_name.as_deref(), Some("POWER9 (raw), altivec supported"));
    assert_eq!(info.identity.model, None);
}

#[test]
fn riscv64_and_loongarch64() {
    let text = b"processor\t: 0\nhart\t\t: 4\nisa\t\t: rv64imac\nmmu\t\t: sv39\nuarch\t\t: sifive,u74-mc\n\
        hart isa\t: rv64imafdc_zba\n\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 0).as_str()), (Some("riscv64"), "i m a f d c zba"));
    assert_eq!(info.identity.model_name.as_deref(), Some("sifive,u74-mc"));
    let text = b"system type\t\t: generic-loongson-machine\n\nprocessor\t\t: 0\nCPU Family\t\t: Loongson-64bit\n\
        Model Name\t\t: Loongson-3A5000\nAddress Sizes\t\t: 48 bits physical, 47 bits virtual\nFeatures\t\t: cpucfg lam\n";
    let info = parse(text).expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 0).as_str()), (Some("loongarch64"), "cpucfg lam"));
    assert_eq!(info.identity.virtual_address_bits, Some(47));
}

#[test]
fn a_bad_field_costs_only_itself() {
    let text = b"processor : 0\ncpu family : six\nmodel : 85\nstepping : unknown\naddress sizes : many\nflags : fpu\n";
    let info = parse(text).expect("cpuinfo");
    let bad: Vec<_> = info.bad_fields.iter().map(|bad| (bad.line, bad.field.as_str())).collect();
    assert_eq!(bad, [(2, "cpu family"), (5, "address sizes")]);
    assert_eq!((info.arch, info.identity.model, info.identity.stepping), (Some("i686"), Some(85), None));
    assert_eq!(flags(&info, 0), "fpu");
}

#[test]
fn refuses_cpus_it_cannot_count() {
    let line = |text: &[u8]| parse(text).expect_err("an error").line;
    assert_eq!(line(b"processor : 0\n\nprocessor : 0\n"), 3);
    assert_eq!(line(b"processor : zero\n"), 1);
    assert_eq!(line(b"processor :\n"), 1);
    assert_eq!(line(b"processor : 65536\n"), 1);
    assert_eq!(line(b"processor : 99999999999\n"), 1);
    assert_eq!(line(b"processor 0: machine = 1\nprocessor 0: machine = 1\n"), 2);
}

#[test]
fn passes_over_what_it_does_not_know() {
    assert_eq!(parse(b""), Ok(Cpuinfo::default()));
    let info = parse(b"\xff\xfe : \xff\n:::\nno colon\nprocessor : 1\nflags : a\xff b\n").expect("cpuinfo");
    assert_eq!((info.arch, flags(&info, 0).as_str()), (None, "a\u{fffd} b"));
}

#[test]
fn keys_without_end_are_not_kept() {
    let many: String = (0..KEYS_MAX).map(|key| format!("key{key} :\n")).collect();
    let info = parse(format!("{many}cpu family : 6\nprocessor : 0\n").as_bytes()).expect("cpuinfo");
    assert_eq!((info.arch, info.processors.len()), (None, 1));
}

proptest! {
    #[test]
    fn any_bytes_parse_or_are_refused(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_lines_parse_or_are_refused(
        text in "((processor|processor 1|flags|isa|cpu family|CPU part|machine|address sizes|x)?[ \t]{0,2}:? ?(0x)?[0-9a-z, ]{0,12}\n?){0,30}"
    ) {
        let _ = parse(text.as_bytes());
    }
}
