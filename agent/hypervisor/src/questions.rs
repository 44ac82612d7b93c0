//! Questions, answered from libvirt.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use virt::{connect::Connect, sys};
use vmuster_agent::hypervisor::{
    guest::{self, Failure, GuestTexts, Guests, Text, Versions},
    protocol::{Answer, Question},
};
use vmuster_proto::libvirt::{cpu, domain_capabilities, render};
use vmuster_proto::model::{CpuComparison, CpuDefinition, Issue, IssueKind};

use crate::{
    definitions::Definitions,
    guesthouse::Slow,
    libvirt::{CallError, Daemon, raw},
    limits::{CALL_LIMIT, PROBE_LIMIT},
};

const CAPABILITIES: &str = "virConnectGetCapabilities";
const DOMAIN_CAPABILITIES: &str = "virConnectGetDomainCapabilities";
const BASELINE: &str = "virConnectBaselineHypervisorCPU";
const COMPARISON: &str = "virConnectCompareHypervisorCPU";

/// Kinds of guests, the one to prefer first.
const VIRT_TYPES: [&str; 2] = ["kvm", EMULATED];

/// Without KVM.
const EMULATED: &str = "qemu";

/// How long it is believed that there is no KVM: nothing tells when it comes back.
const EMULATED_MAX: Duration = Duration::from_secs(600);

/// Where libvirt looks for the emulator of the host's architecture: with another program there, guests can have other
/// things. "{}" is the architecture.
const EMULATORS: [&str; 5] = [
    "/usr/bin/qemu-system-{}",
    "/usr/local/bin/qemu-system-{}",
    "/usr/libexec/qemu-kvm",
    "/usr/bin/qemu-kvm",
    "/usr/bin/kvm",
];

/// Answers, with what is kept between questions.
pub(crate) struct Questions {
    pub(crate) daemon: Daemon,
    pub(crate) definitions: Definitions,
    /// The connection they were read by.
    pub(crate) definitions_of: u64,
    /// What guests can be given, and what that depended on. Who asked may have given up meanwhile: a libvirt that asks QEMU
    /// anew each time takes longer than anybody waits.
    guests: Option<(String, Guests, Instant)>,
    /// Of a host with so many guests that nobody waits for them.
    pub(crate) slow: Option<Slow>,
    /// Known once domain capabilities were asked for.
    virt_type: Option<&'static str>,
}

impl Questions {
    pub(crate) fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            definitions: Definitions::default(),
            definitions_of: 0,
            guests: None,
            slow: None,
            virt_type: None,
        }
    }

    /// What the guest layer depends on: a daemon that says this much does not hang.
    ///
    /// # Errors
    /// It says nothing.
    pub(crate) fn standing(&mut self) -> Result<String, Issue> {
        let version = self.daemon.call("virConnectGetLibVersion", CALL_LIMIT, Connect::lib_version)?;
        let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
        let rights = if self.daemon.connection()?.refused.is_some() { "read-only" } else { "read-write" };
        let mut key = format!("libvirt {version} {rights}");
        for path in EMULATORS.map(|path| path.replace("{}", &machine)) {
            if let Ok(stat) = rustix::fs::stat(&path) {
                // Writing to a string does not fail.
                let _ = write!(key, " {path} {} {}.{}", stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
            }
        }
        Ok(key)
    }

    /// The answer, or why there is none. `standing`: as it was just now.
    pub(crate) fn answer(&mut self, question: &Question, standing: &str) -> Answer {
        let answer = match question {
            Question::Standing => Ok(Answer::Standing(standing.to_owned())),
            Question::Guest { dependencies } => {
                Ok(Answer::Guest(Box::new(self.guest_layer(standing, dependencies))))
            }
            Question::Domains { .. } => self.domains().map(|read| Answer::Domains(Box::new(read))),
            Question::Baseline { cpus, expand_features } => self.baseline(cpus, *expand_features),
            Question::Comparison(cpu) => self.compare(cpu),
            Question::Record => Ok(Answer::Record(self.record())),
        };
        answer.unwrap_or_else(Answer::Failure)
    }

    fn text(
        &mut self,
        name: &'static str,
        call: impl Fn(&Connect) -> Result<String, virt::error::Error>,
    ) -> Text {
        let content = self.daemon.call(name, PROBE_LIMIT, call).map_err(failure);
        Text { source: name.to_owned(), content }
    }

    fn guest_layer(&mut self, standing: &str, dependencies: &str) -> Guests {
        let key = format!("{standing}\n{dependencies}");
        let holds = |(kept, guests, since): &&(String, Guests, Instant)| {
            let is_emulated =
                guests.guest.as_ref().is_some_and(|guest| guest.virt_type.as_deref() == Some(EMULATED));
            *kept == key && (!is_emulated || since.elapsed() < EMULATED_MAX)
        };
        if let Some((_, guests, _)) = self.guests.as_ref().filter(holds) {
            return guests.clone();
        }
        let guests = guest::assemble(&self.guest_texts());
        // What is missing now may be there at the next question.
        let is_whole = guests.issues.iter().all(|issue| issue.kind == IssueKind::Unsupported);
        self.guests = is_whole.then(|| (key, guests.clone(), Instant::now()));
        guests
    }

    fn guest_texts(&mut self) -> GuestTexts {
        let capabilities = self.text(CAPABILITIES, Connect::capabilities);
        let domain_capabilities = self.domain_capabilities();
        let parsed = domain_capabilities.content.as_ref().ok().map(|text| domain_capabilities::parse(text));
        // What makes no sense is told by whoever reads it next.
        let host_model = parsed.and_then(Result::ok).and_then(|capabilities| capabilities.host_model);
        let expanded = host_model.map(|host_model| self.expanded(host_model));
        GuestTexts { capabilities, domain_capabilities, expanded, versions: self.versions() }
    }

    /// Of KVM guests, or of emulated ones where there is no KVM.
    fn domain_capabilities(&mut self) -> Text {
        let refused = self.daemon.connection().ok().and_then(|open| open.refused.clone());
        if let Some(refused) = refused {
            let detail = format!(
                "libvirt tells what guests can be given only to who may also change guests, and the reader's connection \
                 may only read: {}",
                refused.detail
            );
            return Text {
                source: DOMAIN_CAPABILITIES.to_owned(),
                content: Err(Failure { kind: refused.kind, detail }),
            };
        }
        let source = DOMAIN_CAPABILITIES.to_owned();
        let mut content = Err(Failure { kind: IssueKind::Unsupported, detail: String::new() });
        for virt_type in VIRT_TYPES {
            let call = |connect: &Connect| connect.domain_capabilities(None, None, None, Some(virt_type), 0);
            match self.daemon.try_call(DOMAIN_CAPABILITIES, PROBE_LIMIT, call) {
                Ok(text) => {
                    self.virt_type = Some(virt_type);
                    return Text { source, content: Ok(text) };
                }
                Err(error) => {
                    content = Err(failure(error.issue(DOMAIN_CAPABILITIES)));
                    // Any other trouble does not mean that there is no KVM.
                    if !error.is_not_offered() {
                        break;
                    }
                }
            }
        }
        Text { source, content }
    }

    /// host-model with every feature that migrates.
    fn expanded(&mut self, host_model: CpuDefinition) -> Text {
        let custom = CpuDefinition {
            mode: Some("custom".to_owned()),
            r#match: Some("exact".to_owned()),
            // Of no account for features, and not every libvirt takes back what it gave.
            physical_address_bits: None,
            physical_address_mode: None,
            ..host_model
        };
        let cpus = [render::cpu(&custom)];
        let virt_type = self.virt_type;
        let flags = sys::VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | sys::VIR_CONNECT_BASELINE_CPU_MIGRATABLE;
        self.text(BASELINE, |connect| raw::baseline_hypervisor_cpu(connect, virt_type, &cpus, flags))
    }

    fn versions(&mut self) -> Versions {
        let mut version = |name, call: fn(&Connect) -> Result<u32, virt::error::Error>| {
            let number = self.daemon.call(name, PROBE_LIMIT, call);
            number.ok().map(|number| guest::dotted_version(u64::from(number)))
        };
        let libvirt = version("virConnectGetLibVersion", Connect::lib_version);
        let qemu = version("virConnectGetVersion", Connect::hyp_version);
        let driver = self.daemon.call("virConnectGetType", CALL_LIMIT, Connect::driver_type).ok();
        Versions { driver, libvirt, qemu }
    }

    fn record(&mut self) -> BTreeMap<String, String> {
        let texts = self.guest_texts();
        let GuestTexts { capabilities, domain_capabilities, expanded, versions } = texts;
        let named = [
            ("capabilities.xml", Some(capabilities)),
            ("domcapabilities.xml", Some(domain_capabilities)),
            ("host-model-expanded.xml", expanded),
        ];
        let texts = named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.content.ok()?)));
        let Versions { driver, libvirt, qemu } = versions;
        let versions =
            serde_json::json!({ "driver": driver, "libvirt_version": libvirt, "qemu_version": qemu });
        texts.chain([("version.json".to_owned(), format!("{versions}\n"))]).collect()
    }

    fn virt_type(&mut self) -> Option<&'static str> {
        if self.virt_type.is_none() {
            self.domain_capabilities();
        }
        self.virt_type
    }

    fn baseline(&mut self, cpus: &[CpuDefinition], expand_features: bool) -> Result<Answer, Issue> {
        let cpus: Vec<String> = cpus.iter().map(checked).collect::<Result<_, _>>()?;
        let virt_type = self.virt_type();
        let mut flags = sys::VIR_CONNECT_BASELINE_CPU_MIGRATABLE;
        if expand_features {
            flags |= sys::VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES;
        }
        let call = |connect: &Connect| raw::baseline_hypervisor_cpu(connect, virt_type, &cpus, flags);
        let text =
            self.daemon.try_call(BASELINE, PROBE_LIMIT, call).map_err(|error| refused(BASELINE, &error))?;
        let malformed =
            |error: &dyn std::fmt::Display| Issue::new("", BASELINE, IssueKind::Malformed, error.to_string());
        Ok(Answer::Baseline(Box::new(cpu::answer(&text).map_err(|error| malformed(&error))?)))
    }

    fn compare(&mut self, cpu: &CpuDefinition) -> Result<Answer, Issue> {
        let cpu = checked(cpu)?;
        let virt_type = self.virt_type();
        let flags = sys::VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE;
        let call = |connect: &Connect| raw::compare_hypervisor_cpu(connect, virt_type, &cpu, flags);
        let result = match self.daemon.try_call(COMPARISON, PROBE_LIMIT, call) {
            Ok(result) => result,
            Err(error) if error.is_incompatible() => {
                return Ok(Answer::Comparison(CpuComparison::Incompatible, error.message().to_owned()));
            }
            Err(error) => return Err(refused(COMPARISON, &error)),
        };
        let comparison = match sys::virCPUCompareResult::from(result) {
            sys::VIR_CPU_COMPARE_INCOMPATIBLE => CpuComparison::Incompatible,
            sys::VIR_CPU_COMPARE_IDENTICAL => CpuComparison::Identical,
            sys::VIR_CPU_COMPARE_SUPERSET => CpuComparison::Superset,
            other => {
                let detail = format!("libvirt answers {other}, which no version we know of does");
                return Err(Issue::new("", COMPARISON, IssueKind::Malformed, detail));
            }
        };
        Ok(Answer::Comparison(comparison, String::new()))
    }
}

fn failure(issue: Issue) -> Failure {
    Failure { kind: issue.kind, detail: issue.detail }
}

/// What is handed to libvirt is written anew from what was checked, whoever asks.
fn checked(cpu: &CpuDefinition) -> Result<String, Issue> {
    let refused =
        |error: &dyn std::fmt::Display| Issue::new("", "cpu", IssueKind::Malformed, error.to_string());
    cpu::validate(cpu).map_err(|error| refused(&error))?;
    Ok(render::cpu(cpu))
}

/// A refusal of definitions is told from a libvirt that has no such call.
fn refused(call: &str, error: &CallError) -> Issue {
    let issue = error.issue(call);
    if issue.kind == IssueKind::Unsupported && !error.is_unsupported() {
        return Issue { kind: IssueKind::Malformed, ..issue };
    }
    issue
}
