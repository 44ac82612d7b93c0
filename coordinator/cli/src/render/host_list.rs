//! `hosts list` as a table.

use vmuster_proto::model::{HostFailure, HostSummary, Timestamp, printable};

use super::{Columns, age, number};

const HEADER: [&str; 9] = ["HOST", "FRESHNESS", "AGE", "ARCH", "CPU", "S/C/T", "NODES", "MEMORY", "FLAGS"];

/// What gives way to LAST ERROR where there is no room for both: `hosts show` has it, and it never is what is wrong.
const GIVES_WAY: [&[&str]; 3] = [&[], &["CPU"], &["CPU", "NODES"]];

/// Less of a detail than this says nothing.
const MIN_DETAIL: usize = 20;

/// One host a line; what went wrong last in a column of its own, if anything did.
pub(crate) fn list_table(hosts: &[HostSummary], now: Timestamp, width: u16) -> String {
    let rows: Vec<_> = hosts.iter().map(|host| cells(host, now)).collect();
    let errors: Vec<_> = hosts.iter().map(|host| host.last_failure.as_ref()).collect();
    let brief = |failure: &HostFailure| brief(failure, now);
    let longest = errors.iter().flatten().map(|failure| brief(failure).len()).max();
    let Some(longest) = longest else { return columns(&rows, &[], None, width).text() };
    let room = |without: &[&str]| columns(&rows, without, None, width).room();
    let fits = GIVES_WAY.into_iter().find(|without| room(without) >= longest);
    let without = fits.unwrap_or(GIVES_WAY[GIVES_WAY.len() - 1]);
    let room = room(without);
    let cell = |failure: &HostFailure| match brief(failure) {
        brief if room >= brief.len() + MIN_DETAIL => {
            printable(&format!("{brief}: {}", failure.problem.detail), room)
        }
        brief => brief,
    };
    let last: Vec<_> = errors.into_iter().map(|failure| failure.map_or_else(dash, cell)).collect();
    columns(&rows, without, Some(&last), width).text()
}

fn dash() -> String {
    "-".to_owned()
}

/// "timeout 5m x3": what sort, how long ago, and how often one after another.
fn brief(failure: &HostFailure, now: Timestamp) -> String {
    let ago = age(Some(failure.failed_at), now);
    match failure.consecutive_count {
        0 | 1 => format!("{} {ago}", failure.problem.kind),
        count => format!("{} {ago} x{count}", failure.problem.kind),
    }
}

fn columns(rows: &[[String; 9]], without: &[&str], last: Option<&[String]>, width: u16) -> Columns {
    let shown: Vec<usize> =
        HEADER.iter().enumerate().filter(|(_, name)| !without.contains(name)).map(|(at, _)| at).collect();
    let mut header: Vec<_> = shown.iter().map(|at| HEADER[*at]).collect();
    header.extend(last.map(|_| "LAST ERROR"));
    let mut list = Columns::new(&header, width);
    for (row, cells) in rows.iter().enumerate() {
        let mut cells: Vec<_> = shown.iter().map(|at| cells[*at].clone()).collect();
        cells.extend(last.map(|last| last[row].clone()));
        list.row(cells);
    }
    list
}

fn cells(host: &HostSummary, now: Timestamp) -> [String; 9] {
    let standing = &host.standing;
    let counts = [host.socket_count, host.core_count, host.thread_count].map(number).join("/");
    let renamed = !standing.reported_name.is_empty() && standing.reported_name != standing.name;
    let name = if renamed {
        format!("{} ({})", standing.name, standing.reported_name)
    } else {
        standing.name.clone()
    };
    [
        name,
        // As kubectl marks nodes: 80 characters have no room for a column of its own.
        if host.maintenance { format!("{},mnt", standing.freshness) } else { standing.freshness.to_string() },
        age(standing.validated_at, now),
        host.arch.clone().unwrap_or_else(dash),
        host.cpu_vendor.clone().unwrap_or_else(dash),
        counts,
        number(host.numa_node_count),
        host.memory_total_bytes.map_or_else(dash, |bytes| bytes.to_string()),
        number(host.host_flag_count),
    ]
}
