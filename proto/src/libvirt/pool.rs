//! `<pool>`: one storage pool, and by what other hosts know it.

use crate::model::StoragePool;
use roxmltree::Node;

use super::xml::{DEFINITION_MAX_BYTES, XmlError, amount, attribute, child, child_text, children, document};

/// Reads a pool's definition. libvirt writes the figures of an active pool into it; whether it is active it does not.
///
/// # Errors
/// It is another document, or none, or without a name.
pub fn parse(text: &str) -> Result<StoragePool, XmlError> {
    let document = document(text, "pool", DEFINITION_MAX_BYTES)?;
    let root = document.root_element();
    let bytes = |name: &str| child(root, name).map(|node| amount(node, "bytes")).transpose();
    let r#type = attribute(root, "type");
    let source = child(root, "source");
    let identity = source.zip(r#type.as_deref()).and_then(|(source, kind)| identity(kind, source));
    Ok(StoragePool {
        name: child_text(root, "name").ok_or_else(|| XmlError::value("<pool>", "it has no name"))?,
        uuid: child_text(root, "uuid"),
        r#type,
        state: None,
        capacity_bytes: bytes("capacity")?,
        allocation_bytes: bytes("allocation")?,
        available_bytes: bytes("available")?,
        target_path: child(root, "target").and_then(|target| child_text(target, "path")),
        identity,
        mount_point: None,
    })
}

/// What the same storage is called on every host, of the types that several hosts can share.
fn identity(kind: &str, source: Node<'_, '_>) -> Option<String> {
    let mut hosts: Vec<String> = children(source, "host")
        .filter_map(|host| {
            let name = attribute(host, "name")?.to_ascii_lowercase();
            Some(attribute(host, "port").map_or(name.clone(), |port| format!("{name}:{port}")))
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let hosts = (!hosts.is_empty()).then(|| hosts.join(","));
    let named = child_text(source, "name");
    let directory = child(source, "dir").and_then(|dir| attribute(dir, "path"));
    let device = child(source, "device").and_then(|device| attribute(device, "path"));
    let path = |path: String| path.trim_matches('/').to_owned();
    match kind {
        "netfs" => {
            let format = child(source, "format").and_then(|format| attribute(format, "type"));
            let scheme = format.filter(|format| format != "auto").unwrap_or_else(|| "nfs".to_owned());
            Some(format!("{scheme}://{}/{}", hosts?, path(directory?)))
        }
        "rbd" => Some(format!("rbd://{}/{}", hosts?, named?)),
        "gluster" => Some(format!("gluster://{}/{}{}", hosts?, path(named?), directory.unwrap_or_default())),
        "iscsi" | "iscsi-direct" => Some(format!("iscsi://{}/{}", hosts?, device?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(kind: &str, source: &str) -> Option<String> {
        let text = format!("<pool type='{kind}'><name>p</name><source>{source}</source></pool>");
        parse(&text).expect("a pool").identity
    }

    #[test]
    fn a_directory_with_figures() {
        let text = "<pool type='dir'><name>default</name><uuid>u</uuid><capacity unit='bytes'>100</capacity>\
            <allocation unit='bytes'>40</allocation><available unit='bytes'>60</available><source/>\
            <target><path>/var/lib/libvirt/images</path></target></pool>";
        let pool = parse(text).expect("a pool");
        assert_eq!(pool.available_bytes.map(|bytes| bytes.0), Some(60));
        assert_eq!(pool.target_path.as_deref(), Some("/var/lib/libvirt/images"));
        assert_eq!(pool.identity, None);
        assert!(parse("<pool/>").is_err());
    }

    #[test]
    fn the_same_storage_has_one_name_on_every_host() {
        let one = "<host name='Ceph2' port='6789'/><host name='ceph1' port='6789'/><name>vms</name>\
            <auth type='ceph' username='libvirt'><secret uuid='11111111-2222-3333-4444-555555555555'/></auth>";
        let other = "<host name='ceph1' port='6789'/><host name='ceph2' port='6789'/><name>vms</name>";
        assert_eq!(identity_of("rbd", one).as_deref(), Some("rbd://ceph1:6789,ceph2:6789/vms"));
        assert_eq!(identity_of("rbd", one), identity_of("rbd", other));
        let nfs = |dir: &str| format!("<host name='nas.example'/><dir path='{dir}'/><format type='auto'/>");
        assert_eq!(
            identity_of("netfs", &nfs("/export/vms/")).as_deref(),
            Some("nfs://nas.example/export/vms")
        );
        assert_eq!(identity_of("netfs", &nfs("/export/vms")), identity_of("netfs", &nfs("/export/vms/")));
        assert_eq!(identity_of("logical", "<name>vg0</name>"), None);
        assert_eq!(identity_of("rbd", "<name>vms</name>"), None, "monitors from ceph.conf name nothing");
    }
}
