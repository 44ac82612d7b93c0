//! The files of one of many devices.
//!
//! Knows how a device's attribute is read and that the same trouble of many devices is one issue. Must not know what
//! devices there are.

use std::str::FromStr;

use rustix::io::Errno;
use vmuster_proto::model::{Bytes, Issue, IssueKind};

use super::reading::{Reading, doubt, text_of};
use crate::host_root::{ReadError, ReadFailure};

/// What /sys/block counts in, whatever a device's own block is.
const SECTOR_BYTES: u64 = 512;

/// Reads the files of one device.
///
/// Fields are named without the device's own section: "model" of "disks[sda]".
pub(super) struct DeviceFiles<'r, 'a> {
    pub(super) reading: &'r mut Reading<'a>,
    /// What sort of device it is: its issues are counted with those of the others.
    sort: &'static str,
    section: String,
    directory: String,
    is_inside: bool,
}

impl<'r, 'a> DeviceFiles<'r, 'a> {
    pub(super) fn new(
        reading: &'r mut Reading<'a>,
        sort: &'static str,
        section: String,
        directory: String,
    ) -> Self {
        let is_inside = reading.enter(&directory);
        Self { reading, sort, section, directory, is_inside }
    }

    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether it is listed and there is nothing of it: it went away meanwhile, or its link leads nowhere.
    pub(super) fn is_gone(&self) -> bool {
        !self.is_inside && !self.reading.root.exists(&self.directory)
    }

    /// Whether it is a directory and can be read.
    pub(super) fn is_directory(&self) -> bool {
        self.is_inside
    }

    /// Where a file of the device is; a whole path is one already.
    pub(super) fn path(&self, file: &str) -> String {
        if file.starts_with('/') { file.to_owned() } else { format!("{}/{file}", self.directory) }
    }

    /// A file that every such device has: that it is missing is an issue.
    pub(super) fn text(&mut self, field: &str, file: &str) -> Option<String> {
        let bytes = self.reading.bytes(&self.path(file));
        let bytes = bytes.map_err(|error| self.failed(field, &error)).ok()?;
        self.told(field, file, &bytes)
    }

    /// A file that only some devices have: that it is missing is no issue.
    pub(super) fn text_if_there(&mut self, field: &str, file: &str) -> Option<String> {
        let bytes = self.bytes_if(field, file, ReadError::is_absent)?;
        self.told(field, file, &bytes)
    }

    /// As [`Self::text`], of a file that the kernel refuses with EINVAL while there is nothing to tell. A recording has
    /// an empty file then.
    pub(super) fn text_if_told(&mut self, field: &str, file: &str) -> Option<String> {
        let bytes = self.bytes_if(field, file, is_refused).filter(|bytes| !bytes.is_empty())?;
        self.told(field, file, &bytes)
    }

    /// A binary file, on the same terms as [`Self::name`].
    pub(super) fn page(&mut self, field: &str, file: &str) -> Option<Vec<u8>> {
        self.bytes_if(field, file, |error| error.is_absent() || is_refused(error))
            .filter(|page| !page.is_empty())
    }

    /// What a device calls itself. That its driver has no file, refuses it with EINVAL or gives nothing means that it
    /// has no such name.
    pub(super) fn name(&mut self, field: &str, file: &str) -> Option<String> {
        let bytes = self.bytes_if(field, file, |error| error.is_absent() || is_refused(error))?;
        if bytes.is_empty() { None } else { self.told(field, file, &bytes).filter(|name| !name.is_empty()) }
    }

    /// As [`Self::name`], of a driver that ends it with no newline.
    pub(super) fn bare_name(&mut self, field: &str, file: &str) -> Option<String> {
        let bytes = self.bytes_if(field, file, |error| error.is_absent() || is_refused(error))?;
        if std::str::from_utf8(&bytes).is_err() {
            self.malformed(field, file, "it is not text");
        }
        Some(text_of(&bytes)).filter(|name| !name.is_empty())
    }

    /// A file's bytes; `is_fine` says of which errors nothing need be told.
    fn bytes_if(&mut self, field: &str, file: &str, is_fine: impl Fn(&ReadError) -> bool) -> Option<Vec<u8>> {
        let read = self.reading.bytes(&self.path(file));
        read.map_err(|error| {
            if !is_fine(&error) {
                self.failed(field, &error);
            }
        })
        .ok()
    }

    pub(super) fn number<T: FromStr>(&mut self, field: &str, file: &str) -> Option<T> {
        let text = self.text(field, file)?;
        self.number_of(field, file, &text)
    }

    pub(super) fn number_if_there<T: FromStr>(&mut self, field: &str, file: &str) -> Option<T> {
        let text = self.text_if_there(field, file)?;
        self.number_of(field, file, &text)
    }

    pub(super) fn number_of<T: FromStr>(&mut self, field: &str, file: &str, text: &str) -> Option<T> {
        let number = text.parse().ok();
        if number.is_none() {
            self.malformed(field, file, &format!("'{text}' is not a number it can have"));
        }
        number
    }

    /// A number of sectors, in bytes.
    pub(super) fn sectors(&mut self, field: &str, file: &str) -> Option<Bytes> {
        let sectors: u64 = self.number(field, file)?;
        let bytes = sectors.checked_mul(SECTOR_BYTES).map(Bytes);
        if bytes.is_none() {
            self.malformed(field, file, &format!("{sectors} sectors are more bytes than 64 bits hold"));
        }
        bytes
    }

    /// "0" or "1".
    pub(super) fn flag(&mut self, field: &str, file: &str) -> Option<bool> {
        let text = self.text(field, file)?;
        self.flag_of(field, file, &text)
    }

    pub(super) fn flag_of(&mut self, field: &str, file: &str, text: &str) -> Option<bool> {
        match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => {
                self.malformed(field, file, &format!("'{text}' is neither 0 nor 1"));
                None
            }
        }
    }

    /// The memory node that a numa_node file tells: -1 means that nothing is known.
    pub(super) fn node_of(&mut self, field: &str, file: &str, text: &str) -> Option<u32> {
        if text == "-1" { None } else { self.number_of(field, file, text) }
    }

    /// A link's last component; that it is missing, or no link, is no issue.
    pub(super) fn link_name(&mut self, field: &str, link: &str) -> Option<String> {
        let target = self.link_if_there(field, link)?;
        target.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// A link's target; that it is missing, or no link, is no issue.
    pub(super) fn link_if_there(&mut self, field: &str, link: &str) -> Option<String> {
        match self.reading.root.read_link(&self.path(link)) {
            Ok(target) => Some(target),
            Err(error) => {
                if !error.is_absent() && !is_refused(&error) {
                    self.failed(field, &error);
                }
                None
            }
        }
    }

    pub(super) fn malformed(&mut self, field: &str, file: &str, detail: &str) {
        self.tell(field, file, IssueKind::Malformed, detail);
    }

    pub(super) fn missing(&mut self, field: &str, file: &str, detail: &str) {
        self.tell(field, file, IssueKind::Missing, detail);
    }

    /// The device is listed and nothing of it is there.
    pub(super) fn vanished(&mut self) {
        self.reading.vanished(self.sort, &self.section, &self.directory);
    }

    pub(super) fn failed(&mut self, field: &str, error: &ReadError) {
        self.reading.repeated(&self.sort_of(field), error.issue(&self.section_of(field)));
    }

    fn tell(&mut self, field: &str, file: &str, kind: IssueKind, detail: &str) {
        let issue = Issue::new(self.section_of(field), self.path(file), kind, detail);
        self.reading.repeated(&self.sort_of(field), issue);
    }

    /// The text, with an issue beside it if it may not be what the kernel writes; nothing is no text.
    fn told(&mut self, field: &str, file: &str, bytes: &[u8]) -> Option<String> {
        if let Some(doubt) = doubt(bytes) {
            self.malformed(field, file, doubt);
        }
        (!bytes.is_empty()).then(|| text_of(bytes))
    }

    fn section_of(&self, field: &str) -> String {
        if field.is_empty() { self.section.clone() } else { format!("{}.{field}", self.section) }
    }

    fn sort_of(&self, field: &str) -> String {
        format!("{} {field}", self.sort)
    }
}

fn is_refused(error: &ReadError) -> bool {
    error.source == ReadFailure::Os(Errno::INVAL)
}
