//! The load average.

use vmuster_proto::model::LoadAverage;

use super::reading::Reading;
use crate::parse::loadavg;

const LOADAVG: &str = "/proc/loadavg";

/// None, with an issue, if it cannot be read.
pub(super) fn collect(reading: &mut Reading<'_>) -> Option<LoadAverage> {
    let section = "usage.load";
    let text = reading.text(section, LOADAVG)?;
    reading.parsed(section, LOADAVG, loadavg::parse(&text))
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::IssueKind;

    use super::*;
    use crate::testing::RecordedTree;

    #[test]
    fn is_there_or_has_a_reason() {
        let mut tree = RecordedTree::new();
        for (text, kind) in [
            (None, Some(IssueKind::Missing)),
            (Some("0.5"), Some(IssueKind::Malformed)),
            (Some("0.52 0.58 0.59 2/1234 5678\n"), None),
        ] {
            tree = text.map_or_else(RecordedTree::new, |text| tree.file("/proc/loadavg", text));
            let root = tree.root();
            let mut reading = Reading::new(&root);
            assert_eq!(collect(&mut reading).is_some(), kind.is_none());
            assert_eq!(reading.finish().first().map(|issue| issue.kind), kind);
        }
    }
}
