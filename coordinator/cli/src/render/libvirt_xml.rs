//! What a placed instance's domain XML needs to be where it was placed: pins, cells and pages.
//!
//! Elements as in libvirt's formatdomain. Everything in them is a number or a list of CPUs: nothing needs escaping.

use vmuster_proto::model::{PlaceAnswer, PlacedCell, Placement};

/// For each instance with a topology; a comment for each other.
pub(crate) fn fragments(answer: &PlaceAnswer) -> String {
    if !answer.granted {
        return String::new();
    }
    answer.placements.iter().map(fragment).collect::<Vec<_>>().join("\n")
}

fn fragment(placement: &Placement) -> String {
    // XML has no two hyphens side by side in a comment; a name may have three.
    let mut host = placement.host.clone();
    while host.contains("--") {
        host = host.replace("--", "- -");
    }
    let head = format!("<!-- {} on {host}", placement.uuid);
    if placement.cells.is_empty() {
        return format!("{head}: it floats, and needs nothing -->\n");
    }
    let vcpus: u32 = placement.cells.iter().map(|cell| cell.vcpus.len()).sum();
    let memory: u64 = placement.cells.iter().map(|cell| cell.memory_bytes.0).sum();
    let cells = || (0_u32..).zip(&placement.cells);
    let mut text = format!("{head}; of <cpu> the <numa> belongs into the domain's own -->\n");
    text += &format!("<memory unit='b'>{memory}</memory>\n<vcpu placement='static'>{vcpus}</vcpu>\n");
    let huge: Vec<String> = cells().filter(|(_, cell)| cell.huge_pages).map(page).collect();
    if !huge.is_empty() {
        text +=
            &format!("<memoryBacking>\n  <hugepages>\n{}  </hugepages>\n</memoryBacking>\n", huge.concat());
    }
    text += "<cputune>\n";
    text += &cells().map(|(_, cell)| pins(cell)).collect::<String>();
    text += &format!("  <emulatorpin cpuset='{}'/>\n</cputune>\n", placement.emulator_cpus);
    let nodes: vmuster_proto::model::CpuSet = placement.cells.iter().map(|cell| cell.host_cell).collect();
    text += &format!("<numatune>\n  <memory mode='strict' nodeset='{nodes}'/>\n");
    let memnode = |(id, cell): (u32, &PlacedCell)| {
        format!("  <memnode cellid='{id}' mode='strict' nodeset='{}'/>\n", cell.host_cell)
    };
    text += &cells().map(memnode).collect::<String>();
    text += "</numatune>\n<cpu>\n  <numa>\n";
    let cell = |(id, cell): (u32, &PlacedCell)| {
        format!("    <cell id='{id}' cpus='{}' memory='{}' unit='b'/>\n", cell.vcpus, cell.memory_bytes.0)
    };
    text += &cells().map(cell).collect::<String>();
    text + "  </numa>\n</cpu>\n"
}

fn page((id, cell): (u32, &PlacedCell)) -> String {
    format!("    <page size='{}' unit='KiB' nodeset='{id}'/>\n", cell.page_size_bytes.0 / 1024)
}

fn pins(cell: &PlacedCell) -> String {
    let pin = |vcpu: u32| match cell.pins.get(&vcpu) {
        Some(cpu) => format!("  <vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>\n"),
        None => format!("  <vcpupin vcpu='{vcpu}' cpuset='{}'/>\n", cell.shared_cpus),
    };
    cell.vcpus.iter().map(pin).collect()
}

#[cfg(test)]
mod tests {
    use vmuster_proto::model::Bytes;

    use super::*;

    #[test]
    fn elements_say_where_each_vcpu_and_page_is() {
        let cpus = |text: &str| text.parse().expect("CPUs");
        let cells = vec![
            PlacedCell {
                host_cell: 1,
                vcpus: cpus("0-1"),
                pins: [(0, 12), (1, 28)].into(),
                memory_bytes: Bytes(1 << 30),
                page_size_bytes: Bytes(2 << 20),
                huge_pages: true,
                ..PlacedCell::default()
            },
            PlacedCell {
                host_cell: 3,
                vcpus: cpus("2"),
                shared_cpus: cpus("24-27"),
                memory_bytes: Bytes(1 << 29),
                page_size_bytes: Bytes(4096),
                ..PlacedCell::default()
            },
        ];
        let placed = Placement {
            uuid: "7c9f57ce-50b5-4207-9f43-89aac77ba169".to_owned(),
            group: 0,
            host: "kvm-1".to_owned(),
            claim_id: String::new(),
            pools: Vec::new(),
            score: 0.0,
            cells,
            emulator_cpus: cpus("12,28"),
        };
        let floats = Placement { cells: Vec::new(), ..placed.clone() };
        let answer =
            PlaceAnswer { granted: true, placements: vec![placed, floats], ..PlaceAnswer::default() };
        insta::assert_snapshot!(fragments(&answer));
    }
}
