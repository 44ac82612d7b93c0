//! Claims whose disk is full, read-only or damaged: nothing is promised that is not kept, and the rest is answered.

use std::{fs, path::Path, process::Command};

use vmuster_tests::{
    fleet::{Fleet, Source},
    metrics::scrape,
    programs::{Daemon, program, run},
    tools::leave_out,
};

use crate::registry::{House, stop};

struct Setup {
    _fleet: Fleet,
    house: House,
}

impl Setup {
    async fn new() -> Self {
        let fleet = Fleet::start(2, 5, vec![Source::with_hypervisor("rome-2s")]).await;
        let house = House::new(&[]);
        fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
        Self { _fleet: fleet, house }
    }

    /// With what is registered and promised in a small file system of its own. None where nothing may be mounted.
    fn start_small(&self) -> Option<Daemon> {
        let probe = run(Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]));
        if probe.code != 0 {
            leave_out("to mount a small file system takes root, and a root that may mount");
            return None;
        }
        fs::create_dir(self.house.at("fs")).expect("a mount point");
        self.house.configure("fs/state", "cache", &format!("unix:{}", self.house.at("c.sock").display()));
        let place = self.house.at("fs").display().to_string();
        let script = format!(
            "mount -t tmpfs -o size=1m none {place} && mkdir -m 0700 {place}/state && exec {} --config {} serve",
            program("vmuster-coordinator").display(),
            self.house.at("c.toml").display()
        );
        Some(Daemon::start_by(Command::new("unshare").args(["--mount", "sh", "-c", &script])))
    }

    fn beside(&self, daemon: &Daemon, script: &str) {
        let script = script.replace("PLACE", &self.house.at("fs").display().to_string());
        let pid = daemon.pid().to_string();
        let ended = run(Command::new("nsenter").args(["--mount", "--target", &pid, "sh", "-c", &script]));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }

    fn claim(&self, request_id: &str) -> vmuster_tests::programs::Ended {
        self.house.ask(&format!("place --vcpus 1 --memory 1GiB --claim --request-id {request_id}"))
    }

    fn claims(&self) -> usize {
        self.house.done("claims list -o plain").lines().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_claims_and_nothing_else() {
    let setup = Setup::new().await;
    let Some(daemon) = setup.start_small() else { return };
    assert_eq!(setup.claim("first").code, 0);
    setup.beside(&daemon, "dd if=/dev/zero of=PLACE/filler bs=1k 2>/dev/null; test -s PLACE/filler");
    let mut kept = setup.claims();
    // What is left of the last page may do for a few more.
    let refused = (0..200).find_map(|number| {
        let ended = setup.claim(&format!("more-{number}"));
        kept += usize::from(ended.code == 0);
        (ended.code != 0).then_some(ended)
    });
    let refused = refused.expect("a full disk refuses");
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    for words in ["nothing has changed", "no room", "free some"] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    assert_eq!(setup.claims(), kept, "what was not kept is not listed");
    let counted = scrape(&setup.house.at("m.sock"));
    assert_eq!(counted.value("vmuster_claim_commit_failures_total"), 1.0);
    assert_eq!(counted.value("vmuster_claims{state=\"held\"}"), kept as f64);
    assert_eq!(counted.value("vmuster_instances_placed_total{mode=\"claim\"}"), kept as f64);
    let promised = setup.house.json("capacity --vcpus 1 --memory 1GiB");
    let hosts = promised["hosts"].as_array().expect("hosts").iter();
    let vcpus: u64 = hosts.map(|host| host["vcpus"]["promised"].as_u64().expect("known")).sum();
    assert_eq!(vcpus, kept as u64, "nor counted");
    assert_eq!(setup.house.ask("place --vcpus 1 --memory 1GiB").code, 0, "a dry run needs no disk");

    setup.beside(&daemon, "rm PLACE/filler");
    let again = setup.claim("again");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(setup.claims(), kept + 1);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_refused_and_left_as_it_is() {
    let setup = Setup::new().await;
    let daemon = setup.house.start();
    for number in 0..20 {
        assert_eq!(setup.claim(&format!("r{number}")).code, 0);
    }
    stop(daemon);
    let file = setup.house.at("state/claims.db");
    let whole = fs::read(&file).expect("the store");
    let refused = |damaged: &[u8], path: &Path| {
        fs::write(path, damaged).expect("written");
        let ended = setup.house.refused();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        for words in ["claims.db", "restore every file whose name begins with 'claims.' from one backup"] {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        assert_eq!(fs::read(path).expect("the store"), damaged, "it is left as it is");
    };
    refused(&whole[..whole.len() / 2], &file);
    let mut flipped = whole.clone();
    let middle = whole.len() - whole.len() / 4;
    flipped[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
    refused(&flipped, &file);
    refused(b"", &file);
    fs::write(&file, &whole).expect("written");
    let daemon = setup.house.start();
    assert_eq!(setup.claims(), 20);
    stop(daemon);
}
