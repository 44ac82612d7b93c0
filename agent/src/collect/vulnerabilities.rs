//! What the kernel says of the CPU's known vulnerabilities: /sys/devices/system/cpu/vulnerabilities.

use std::collections::BTreeMap;

use vmuster_proto::model::{Issue, IssueKind};

use super::reading::Reading;

const SECTION: &str = "cpu.vulnerabilities";
const DIRECTORY: &str = "/sys/devices/system/cpu/vulnerabilities";

/// The kernel's words by the vulnerability's name.
pub(super) fn read(reading: &mut Reading<'_>) -> BTreeMap<String, String> {
    let names = match reading.root.read_dir(DIRECTORY) {
        Ok(names) => names,
        Err(error) if error.is_absent() => {
            let detail = "this kernel tells no vulnerabilities, as those before 4.15";
            reading.issue(Issue::new(SECTION, DIRECTORY, IssueKind::Unsupported, detail));
            return BTreeMap::new();
        }
        Err(error) => {
            reading.failed(SECTION, &error);
            return BTreeMap::new();
        }
    };
    reading.enter(DIRECTORY);
    let told = names.into_iter().filter_map(|name| {
        let text = reading.text(SECTION, &format!("{DIRECTORY}/{name}"))?;
        (!text.is_empty()).then_some((name, text))
    });
    told.collect()
}
