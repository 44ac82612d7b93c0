//! Mount tables as real machines have them, and what is measured of them.

use proptest::prelude::*;

use super::*;
use crate::parse::mountinfo::{parse, parse_mounts};

fn of_mountinfo(text: &str) -> Vec<Candidate> {
    let (mounts, errors) = parse(text);
    assert_eq!(errors, []);
    select(&mounts)
}

fn of_mounts(text: &str) -> Vec<Candidate> {
    let (mounts, errors) = parse_mounts(text);
    assert_eq!(errors, []);
    select(&mounts)
}

fn places(candidates: &[Candidate]) -> Vec<&str> {
    candidates.iter().map(|candidate| candidate.mount_point.as_str()).collect()
}

#[test]
fn binds_are_one_file_system() {
    let text = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 27 8:2 /data /a rw - xfs /dev/sdb1 rw\n\
        31 27 8:2 / /mnt/long rw - xfs /dev/sdb1 rw\n\
        32 27 8:2 / /mnt/b rw - xfs /dev/sdb1 rw\n\
        33 27 8:2 / /mnt/a rw - xfs /dev/sdb1 rw\n\
        34 27 8:1 /etc/hosts /x rw - ext4 /dev/sda1 rw\n";
    let candidates = of_mountinfo(text);
    assert_eq!(
        places(&candidates),
        ["/", "/mnt/a"],
        "the one that shows its root, then the shortest, then by name"
    );
    let devices: Vec<_> = candidates.iter().map(|candidate| candidate.device.as_deref()).collect();
    assert_eq!(devices, [Some("8:1"), Some("8:2")]);
    let text = "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /mnt/b xfs ro 0 0\n/dev/sdb1 /srv xfs ro 0 0\n";
    let candidates = of_mounts(text);
    assert_eq!(places(&candidates), ["/", "/srv"]);
    assert_eq!(
        candidates.iter().map(|candidate| candidate.read_only).collect::<Vec<_>>(),
        [Some(false), None]
    );
}

#[test]
fn subvolumes_of_a_btrfs_are_one_file_system() {
    let text = "27 1 0:24 /@ / rw - btrfs /dev/nvme0n1p2 rw,subvol=/@\n\
        30 27 0:24 /@home /home rw - btrfs /dev/nvme0n1p2 rw,subvol=/@home\n\
        31 27 0:24 /@log /var/log rw - btrfs /dev/nvme0n1p2 rw,subvol=/@log\n";
    assert_eq!(places(&of_mountinfo(text)), ["/"]);
    let text = "/dev/sda2 / btrfs rw,subvol=/@ 0 0\n/dev/sda2 /home btrfs rw,subvol=/@home 0 0\n";
    assert_eq!(places(&of_mounts(text)), ["/"]);
}

#[test]
fn a_writable_mount_tells_that_the_file_system_is() {
    let text =
        "/dev/sda4 /sysroot xfs ro,relatime 0 0\n/dev/sda4 / xfs rw 0 0\n/dev/sda3 /boot ext4 ro 0 0\n";
    let candidates = of_mounts(text);
    let shown: Vec<_> = candidates.iter().map(|it| (it.mount_point.as_str(), it.read_only)).collect();
    assert_eq!(shown, [("/", Some(false)), ("/boot", None)]);
}

#[test]
fn an_overlay_on_a_mount_that_is_listed_is_left_out() {
    let docker = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 27 8:2 / /var/lib/docker rw - xfs /dev/sdb1 rw\n\
        31 30 0:50 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/a/diff,workdir=/w\n\
        32 30 0:51 / /var/lib/docker/overlay2/b/merged rw - overlay overlay rw,lowerdir=l/A,upperdir=b/diff,workdir=b/work\n";
    assert_eq!(places(&of_mountinfo(docker)), ["/", "/var/lib/docker"]);
    let router = "overlayfs:/overlay / overlay rw,lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work 0 0\n\
        /dev/mtdblock6 /overlay jffs2 rw 0 0\n";
    assert_eq!(places(&of_mounts(router)), ["/overlay"]);
    let read_only =
        "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 27 0:50 / /m ro - overlay overlay ro,lowerdir=/a:/b\n";
    assert_eq!(places(&of_mountinfo(read_only)), ["/"]);
}

#[test]
fn a_containers_root_is_kept() {
    let text = "900 800 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/a/diff,workdir=/w\n\
        901 900 8:1 /var/lib/docker/containers/a/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n";
    let candidates = of_mountinfo(text);
    assert_eq!(places(&candidates), ["/", "/etc/hosts"]);
    assert_eq!(candidates.first().and_then(|root| root.device.as_deref()), Some("0:50"));
    let text = "overlay / overlay rw,lowerdir=l/A:l/B,upperdir=a/diff,workdir=a/work 0 0\n";
    assert_eq!(places(&of_mounts(text)), ["/"], "layers relative to a directory nobody knows");
}

#[test]
fn two_roots_called_overlay_are_two() {
    let text = "overlay /a/b overlay rw,upperdir=/a/b/u1 0 0\noverlay /c overlay rw,upperdir=/c/u2 0 0\n";
    assert_eq!(places(&of_mounts(text)), ["/a/b", "/c"]);
}

#[test]
fn a_mount_below_a_later_one_is_hidden() {
    let text = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 27 8:2 / /srv/data rw - xfs /dev/sdb1 rw\n\
        31 30 8:3 / /srv/data/deep rw - xfs /dev/sdc1 rw\n\
        32 27 8:4 / /srv rw - xfs /dev/sdd1 rw\n\
        33 27 8:5 / /srv2 rw - xfs /dev/sde1 rw\n";
    assert_eq!(places(&of_mountinfo(text)), ["/", "/srv", "/srv2"], "and what is mounted on it");
    let text = text.replace("32 27 8:4 / /srv ", "32 27 8:3 / /srv ");
    let candidates = of_mountinfo(&text);
    assert_eq!(places(&candidates), ["/", "/srv", "/srv2"], "its visible place, not the hidden one");
}

#[test]
fn of_mounts_on_one_place_the_last_is_seen() {
    let stacked = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 27 8:2 / /mnt rw - xfs /dev/sdb1 rw\n\
        31 30 8:3 / /mnt rw - xfs /dev/sdc1 rw\n\
        32 31 8:4 / /mnt/in rw - xfs /dev/sdd1 rw\n\
        33 30 8:5 / /mnt/out rw - xfs /dev/sde1 rw\n";
    let candidates = of_mountinfo(stacked);
    let shown: Vec<_> = candidates.iter().map(|it| (it.mount_point.as_str(), it.source.as_str())).collect();
    assert_eq!(shown, [("/", "/dev/sda1"), ("/mnt", "/dev/sdc1"), ("/mnt/in", "/dev/sdd1")]);
    let neighbours =
        "27 1 8:1 / / rw - ext4 a rw\n30 27 8:2 / /mnt rw - xfs b rw\n31 27 8:3 / /mnt rw - xfs c rw\n";
    assert_eq!(of_mountinfo(neighbours).get(1).map(|it| it.source.clone()).as_deref(), Some("c"));
    let mounts = "rootfs / rootfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /mnt xfs rw 0 0\ntmpfs /mnt tmpfs rw 0 0\n";
    assert_eq!(places(&of_mounts(mounts)), ["/"], "what is under a tmpfs is not the tmpfs");
}

#[test]
fn a_root_mounted_over_the_first_root_is_seen() {
    for parent in [0, 1] {
        let text = format!(
            "1 {parent} 0:1 / / rw - rootfs rootfs rw\n2 1 8:9 / /old rw - ext4 /dev/old rw\n27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             28 27 8:2 / /srv rw - xfs /dev/sdb1 rw\n"
        );
        assert_eq!(places(&of_mountinfo(&text)), ["/", "/srv"], "{parent}");
    }
    let own_parent = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n28 1 8:2 / /srv rw - xfs /dev/sdb1 rw\n";
    assert_eq!(places(&of_mountinfo(own_parent)), ["/", "/srv"], "nothing is hidden by the mount it sits on");
}

#[test]
fn the_order_of_proc_mounts_hides_nothing() {
    let text = "/dev/sdb1 /sysroot xfs rw 0 0\n/dev/sda4 / xfs rw 0 0\n";
    assert_eq!(places(&of_mounts(text)), ["/", "/sysroot"]);
}

#[test]
fn autofs_is_never_asked() {
    let waiting = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 27 0:40 / /net rw - autofs /etc/auto.net rw,indirect\n\
        31 27 0:41 / /misc rw - autofs systemd-1 rw,direct\n32 31 0:60 / /misc rw - nfs4 server:/export rw\n";
    assert_eq!(places(&of_mountinfo(waiting)), ["/", "/misc"], "what it has mounted is");
    assert_eq!(of_mountinfo(waiting).get(1).map(|it| it.fs_type.clone()).as_deref(), Some("nfs4"));
    assert!(of_mounts("systemd-1 /misc autofs rw 0 0\n").is_empty());
}

#[test]
fn what_stores_nothing_is_left_out() {
    for (reason, types) in LEFT_OUT {
        for fs_type in types {
            assert_eq!(left_out(fs_type), Some(reason));
            assert!(
                of_mountinfo(&format!("30 27 0:40 / /x rw - {fs_type} source rw\n")).is_empty(),
                "{fs_type}"
            );
        }
    }
    for kept in [
        "ext4",
        "xfs",
        "zfs",
        "nfs4",
        "cifs",
        "ceph",
        "fuse.sshfs",
        "fuse",
        "fuseblk",
        "9p",
        "virtiofs",
        "vfat",
    ] {
        assert_eq!(left_out(kept), None, "{kept}");
    }
}

#[test]
fn data_sets_of_a_zfs_share_their_pool() {
    let text = "27 1 0:30 / / rw - zfs rpool/ROOT/debian rw\n30 27 0:31 / /home rw - zfs rpool rw\n\
        31 27 0:32 / /old ro - zfs tank@monday ro\n32 27 8:1 / /boot rw - ext4 /dev/sda1 rw\n";
    let pools: Vec<_> = of_mountinfo(text).into_iter().map(|it| it.pool).collect();
    assert_eq!(
        pools,
        [Some("zfs rpool"), None, Some("zfs rpool"), Some("zfs tank")].map(|it| it.map(str::to_owned))
    );
}

#[test]
fn directories_above_a_path() {
    assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a", "/"]);
    assert_eq!(ancestors("/").count() + ancestors("").count() + ancestors("a").count(), 0);
}

proptest! {
    #[test]
    fn any_table_gives_each_place_once(lines in prop::collection::vec((0u64..8, 0u64..8, 0u32..4, "(/[ab]){0,3}", any::<bool>()), 0..12)) {
        let mounts: Vec<Mount> = lines.into_iter().map(|(mount, parent, minor, path, overlay)| Mount {
            ids: Some(MountIds { mount, parent }),
            device: Some(format!("8:{minor}")),
            root: Some("/".to_owned()),
            mount_point: if path.is_empty() { "/".to_owned() } else { path.clone() },
            fs_type: if overlay { "overlay" } else { "ext4" }.to_owned(),
            super_options: format!("rw,upperdir={path}/u"),
            ..Mount::default()
        }).collect();
        let candidates = select(&mounts);
        prop_assert!(candidates.is_sorted_by(|a, b| a.mount_point < b.mount_point || a.device != b.device));
        let mut devices: Vec<_> = candidates.iter().map(|it| it.device.clone()).collect();
        devices.sort();
        devices.dedup();
        prop_assert_eq!(devices.len(), candidates.len());
    }
}
