//! Who writes a scheduler follows docs/placement.md from an empty directory, and has a client in Python that works.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::Value;
use tempfile::tempdir;
use vmuster_tests::{
    fixtures::workspace,
    fleet::{Fleet, Source},
    programs::{Ended, run},
    tools::{are_there, leave_out},
};

use crate::registry::{House, stop};

/// The commands that the document has in `sh` blocks, a block each.
fn blocks() -> Vec<String> {
    let text = fs::read_to_string(workspace().join("docs/placement.md")).expect("a document");
    let blocks = text.split("\n```sh\n").skip(1);
    blocks.map(|rest| rest.split("\n```").next().expect("an end").to_owned()).collect()
}

fn follow(commands: &str, directory: &Path, coordinator: &str) -> Ended {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", commands]).current_dir(directory);
    run(shell.env("VMUSTER", workspace()).env("COORDINATOR", coordinator).env("LC_ALL", "C.UTF-8"))
}

/// The words of lines that begin so.
fn lines<'a>(printed: &'a str, begin: &str) -> Vec<Vec<&'a str>> {
    let words = printed.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.filter(|words| words[0] == begin).map(|words| words[1..].to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_the_documentation_places_claims_confirms_and_releases() {
    if !are_there(&[("python3", "python3")]) {
        return;
    }
    let has_venv = run(Command::new("python3").args(["-c", "import venv, ensurepip"]));
    if has_venv.code != 0 {
        leave_out("python3 makes no venv: install the package python3-venv");
        return;
    }
    let [install, place] = &blocks()[..] else { panic!("two blocks of commands: {:?}", blocks()) };
    // What pip fetches is kept between runs.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("placement-python");
    fs::create_dir_all(&kept).expect("a directory");
    let installed = follow(install, &kept, "");
    if installed.code != 0 {
        leave_out(&format!("pip did not get what a client needs: {}", installed.stderr.trim()));
        return;
    }
    let directory = tempdir().expect("an empty directory");
    symlink(kept.join("venv"), directory.path().join("venv")).expect("a link");

    let fleet = Fleet::start(3, 11, vec![Source::with_hypervisor("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    let daemon = house.start();
    let coordinator = format!("unix:{}", house.at("c.sock").display());
    let ended = follow(place, directory.path(), &coordinator);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    let printed = ended.stdout.as_str();

    let placed = lines(printed, "placed");
    let [[first, host, uuid, "default"], [second, other_host, other_uuid, "default"]] =
        [placed[0].as_slice(), placed[1].as_slice()]
    else {
        panic!("{printed}")
    };
    assert_eq!(placed.len(), 2, "{printed}");
    assert_ne!((host, uuid), (other_host, other_uuid), "spread");
    assert!(printed.contains("\nagain the same\n"), "{printed}");
    let claim = vec![*first, "confirmed", *host, *uuid];
    assert_eq!(lines(printed, "confirmed"), std::slice::from_ref(&claim), "{printed}");
    assert_eq!(lines(printed, "released"), [[*second]], "{printed}");
    assert_eq!(lines(printed, "listed"), [claim], "{printed}");

    // As the command sees it.
    let listed = house.json("claims list");
    let claims = listed["claims"].as_array().expect("claims");
    let [claim] = claims.as_slice() else { panic!("one claim: {listed}") };
    for (key, value) in [("id", first), ("state", &"confirmed"), ("host", host), ("uuid", uuid)] {
        assert_eq!(claim[key], *value, "{listed}");
    }
    assert_eq!((&claim["vcpus"], &claim["memory_bytes"]), (&2.into(), &(4_u64 << 30).into()));
    assert_eq!(
        claim["disk_bytes"].as_object().expect("a map").values().collect::<Vec<_>>(),
        [&Value::from(10_u64 << 30)]
    );
    assert!(claim.get("expires_at").is_none(), "{listed}");
    stop(daemon);
}
