//! Where CPUs sit: /sys/devices/system/cpu/cpuN/topology.
//!
//! Threads of a core share every number but their own, so each core is read once, by its first online CPU: a quarter of
//! the files on a large host.

use std::collections::HashSet;

use vmuster_proto::model::{CpuSet, CpuTopology, Issue, IssueKind};

use super::reading::Reading;

/// What x86 kernels print as cluster_id of a CPU without one: BAD_APICID in 16 bits.
const NO_CLUSTER: u32 = 0xffff;

/// One core: its first online CPU, and all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) first: u32,
    pub(super) cpus: CpuSet,
}

/// Places of the online CPUs, and counts of what they sit in.
#[derive(Debug, Default, Clone)]
pub(super) struct Topology {
    /// By CPU number; without node.
    pub(super) cpus: Vec<CpuTopology>,
    pub(super) socket_count: Option<u32>,
    pub(super) core_count: Option<u32>,
    pub(super) threads_per_core: Option<u32>,
    /// By first CPU.
    pub(super) cores: Vec<Core>,
}

pub(super) fn read(reading: &mut Reading<'_>, online: &CpuSet) -> Topology {
    let mut reader = Reader::new(reading, online);
    let mut topology = Topology { socket_count: Some(0), core_count: Some(0), ..Topology::default() };
    let mut done = CpuSet::new();
    for cpu in online.iter() {
        if done.contains(cpu) {
            continue;
        }
        if !reader.has_topology(cpu) {
            topology.core_count = None;
            topology.cpus.push(CpuTopology { cpu, ..CpuTopology::default() });
            topology.cores.push(Core { first: cpu, cpus: [cpu].into_iter().collect() });
            continue;
        }
        let siblings = reader.siblings(cpu);
        let threads = siblings.as_ref().map(CpuSet::len);
        topology.core_count = topology.core_count.zip(threads).map(|(count, _)| count + 1);
        topology.threads_per_core = topology.threads_per_core.max(threads);
        let place = reader.place(cpu);
        let core = siblings.unwrap_or_else(|| [cpu].into_iter().collect());
        let cpus = core.difference(&done);
        for thread in cpus.iter() {
            done.insert(thread);
            topology.cpus.push(CpuTopology { cpu: thread, ..place });
        }
        topology.cores.push(Core { first: cpu, cpus });
    }
    topology.cpus.sort_unstable_by_key(|place| place.cpu);
    topology.socket_count = reader.socket_count();
    if topology.core_count.is_none() {
        topology.threads_per_core = None;
    }
    topology
}

/// What tells sockets apart.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Socket {
    /// On s390x a package's number is unique within its book, and a book's within its drawer.
    Numbered { drawer: Option<u32>, book: Option<u32>, package: u32 },
    /// Where the kernel gives no number (ppc64, some s390x and arm64): the CPUs that share it.
    Sharing(CpuSet),
}

/// Files of which a kernel has all or none: not asked for again once the first CPU was without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    NotYet,
    There,
    NotThere,
}

struct Reader<'r, 'a> {
    reading: &'r mut Reading<'a>,
    online: &'r CpuSet,
    sockets: HashSet<Socket>,
    sockets_known: bool,
    core_files: SetFiles,
    socket_files: SetFiles,
    die: Known,
    cluster: Known,
    book: Known,
    drawer: Known,
}

impl<'r, 'a> Reader<'r, 'a> {
    fn new(reading: &'r mut Reading<'a>, online: &'r CpuSet) -> Self {
        Self {
            reading,
            online,
            sockets: HashSet::new(),
            sockets_known: true,
            core_files: SetFiles::new([
                "core_cpus_list",
                "thread_siblings_list",
                "core_cpus",
                "thread_siblings",
            ]),
            socket_files: SetFiles::new([
                "package_cpus_list",
                "core_siblings_list",
                "package_cpus",
                "core_siblings",
            ]),
            die: Known::NotYet,
            cluster: Known::NotYet,
            book: Known::NotYet,
            drawer: Known::NotYet,
        }
    }

    /// Whether the CPU is still there: one issue instead of one for each of its files.
    fn has_topology(&mut self, cpu: u32) -> bool {
        let is_there = self.reading.enter(&path(cpu, ""));
        if !is_there {
            self.sockets_known = false;
            self.reading.vanished("topology", "cpu.topology", &path(cpu, ""));
        }
        is_there
    }

    /// The online CPUs of a CPU's core.
    fn siblings(&mut self, cpu: u32) -> Option<CpuSet> {
        let siblings = self.core_files.read(self.reading, cpu)?.intersection(self.online);
        if siblings.contains(cpu) {
            return Some(siblings);
        }
        let detail = format!("CPU {cpu} is not among its own core's CPUs, '{siblings}'");
        self.reading
            .repeated("siblings", Issue::new("cpu.core_count", path(cpu, ""), IssueKind::Malformed, detail));
        None
    }

    fn place(&mut self, cpu: u32) -> CpuTopology {
        let socket = self.number(cpu, "physical_package_id");
        let core = self.number(cpu, "core_id");
        let die = self.number_if_there(cpu, "die_id", |reader| &mut reader.die);
        let cluster = self.number_if_there(cpu, "cluster_id", |reader| &mut reader.cluster);
        let book = self.number_if_there(cpu, "book_id", |reader| &mut reader.book);
        let drawer = self.number_if_there(cpu, "drawer_id", |reader| &mut reader.drawer);
        self.count_socket(cpu, drawer, book, socket);
        CpuTopology {
            cpu,
            socket,
            die,
            cluster: cluster.filter(|id| *id != NO_CLUSTER),
            core,
            node: None,
            book,
            drawer,
        }
    }

    fn count_socket(&mut self, cpu: u32, drawer: Option<u32>, book: Option<u32>, package: Option<u32>) {
        if let Some(package) = package {
            self.sockets.insert(Socket::Numbered { drawer, book, package });
            return;
        }
        let is_known = |socket: &Socket| matches!(socket, Socket::Sharing(cpus) if cpus.contains(cpu));
        if self.sockets.iter().any(is_known) {
            return;
        }
        match self.socket_files.read(self.reading, cpu).filter(|cpus| cpus.contains(cpu)) {
            Some(cpus) => {
                self.sockets.insert(Socket::Sharing(cpus));
            }
            None => self.sockets_known = false,
        }
    }

    fn socket_count(&self) -> Option<u32> {
        self.sockets_known.then(|| u32::try_from(self.sockets.len()).ok()).flatten()
    }

    fn number(&mut self, cpu: u32, file: &str) -> Option<u32> {
        let path = path(cpu, file);
        let text = self.reading.text_of_many(file, "cpu.topology", &path)?;
        self.parsed(file, &path, &text)
    }

    /// A number that not every kernel has.
    fn number_if_there(&mut self, cpu: u32, file: &str, known: fn(&mut Self) -> &mut Known) -> Option<u32> {
        if *known(self) == Known::NotThere {
            return None;
        }
        let path = path(cpu, file);
        let Some(text) = self.reading.text_if_there("cpu.topology", &path) else {
            if *known(self) == Known::NotYet {
                *known(self) = Known::NotThere;
            }
            return None;
        };
        *known(self) = Known::There;
        self.parsed(file, &path, &text)
    }

    /// -1 is the kernel's "none".
    fn parsed(&mut self, file: &str, path: &str, text: &str) -> Option<u32> {
        match text.parse::<i64>().ok().map(|number| (number < 0, u32::try_from(number).ok())) {
            Some((true, _)) => None,
            Some((false, Some(number))) => Some(number),
            _ => {
                let detail = format!("'{text}' is not a number");
                self.reading.repeated(file, Issue::new("cpu.topology", path, IssueKind::Malformed, detail));
                None
            }
        }
    }
}

/// One set of CPUs under the names kernels have given it, newest first: two lists, then the masks of old kernels.
struct SetFiles {
    names: [&'static str; 4],
    /// The name this kernel uses.
    chosen: Option<&'static str>,
}

impl SetFiles {
    fn new(names: [&'static str; 4]) -> Self {
        Self { names, chosen: None }
    }

    fn read(&mut self, reading: &mut Reading<'_>, cpu: u32) -> Option<CpuSet> {
        let [newest, ..] = self.names;
        let is_there = |name: &&str| reading.root.exists(&path(cpu, name));
        let name = self.chosen.or_else(|| self.names.into_iter().find(is_there)).unwrap_or(newest);
        let path = path(cpu, name);
        let text = reading.text_of_many(newest, "cpu.topology", &path)?;
        self.chosen = Some(name);
        let set = if name.ends_with("_list") { text.parse() } else { CpuSet::from_mask(&text) };
        match set {
            Ok(set) => Some(set),
            Err(error) => {
                let issue = Issue::new("cpu.topology", path, IssueKind::Malformed, error.to_string());
                reading.repeated(newest, issue);
                None
            }
        }
    }
}

fn path(cpu: u32, file: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/topology/{file}")
}
