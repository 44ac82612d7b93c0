//! libvirt's cpu_map files: which features each named x86 model stands for.
//!
//! Source: /usr/share/libvirt/cpu_map/*.xml of the installed libvirt; releases differ. Must not know where the text comes
//! from.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::xml::{XmlError, attribute, child, children, document};
use crate::model::FeatureSet;

/// The largest, x86_features.xml, has 40 KB; one old cpu_map.xml with everything in it 70 KB.
pub const CPU_MAP_MAX_BYTES: usize = 1 << 20;

/// Models within models: libvirt's own were three deep, when there were any.
const ANCESTORS_MAX: usize = 16;

/// One `<model>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapModel {
    /// libvirt's name.
    pub name: String,
    /// libvirt's name of the vendor; None: of any.
    pub vendor: Option<String>,
    /// Models all of whose features it has too.
    pub parents: Vec<String>,
    /// Its features, without those that were removed from it.
    pub features: BTreeSet<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapFile {
    /// Files it includes for x86, in order.
    pub includes: Vec<String>,
    /// Its models, in order.
    pub models: Vec<MapModel>,
}

/// Reads one file; index.xml names the others.
///
/// # Errors
/// It is no cpu_map.
pub fn parse(text: &str) -> Result<MapFile, XmlError> {
    let document = document(text, "cpus", CPU_MAP_MAX_BYTES)?;
    let root = document.root_element();
    let mut file = MapFile::default();
    for node in root.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "arch" if attribute(node, "name").as_deref() == Some("x86") => {
                file.includes
                    .extend(children(node, "include").filter_map(|file| attribute(file, "filename")));
                file.models.extend(children(node, "model").filter_map(model));
            }
            "model" => file.models.extend(model(node)),
            _ => {}
        }
    }
    Ok(file)
}

fn model(node: Node<'_, '_>) -> Option<MapModel> {
    let is_removed = |feature: &Node<'_, '_>| feature.attribute("removed") == Some("yes");
    Some(MapModel {
        name: attribute(node, "name")?,
        vendor: child(node, "vendor").and_then(|vendor| attribute(vendor, "name")),
        parents: children(node, "model").filter_map(|parent| attribute(parent, "name")).collect(),
        features: children(node, "feature")
            .filter(|feature| !is_removed(feature))
            .filter_map(|feature| attribute(feature, "name"))
            .collect(),
    })
}

/// What one model stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// libvirt's name of the vendor; None: of any.
    pub vendor: Option<String>,
    /// All its features.
    pub features: FeatureSet,
    /// Its place in the map: newer models come later within a vendor.
    pub place: usize,
}

/// All models, each with all its features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuMap(BTreeMap<String, Expansion>);

impl CpuMap {
    /// Puts models together, in the map's order. A model whose ancestors are not there, or go round in a circle, is left out:
    /// what it stands for is not known.
    #[must_use]
    pub fn new(models: &[MapModel]) -> Self {
        let by_name: BTreeMap<&str, &MapModel> =
            models.iter().map(|model| (model.name.as_str(), model)).collect();
        let expansion = |(place, model): (usize, &MapModel)| {
            let mut names = BTreeSet::new();
            gather(model, &by_name, &mut names, 0)?;
            let features = FeatureSet::from_names(names).ok()?;
            Some((model.name.clone(), Expansion { vendor: model.vendor.clone(), features, place }))
        };
        Self(models.iter().enumerate().filter_map(expansion).collect())
    }

    /// By name.
    #[must_use]
    pub fn get(&self, model: &str) -> Option<&Expansion> {
        self.0.get(model)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Expansion)> {
        self.0.iter().map(|(name, expansion)| (name.as_str(), expansion))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn gather<'a>(
    model: &'a MapModel,
    by_name: &BTreeMap<&str, &'a MapModel>,
    names: &mut BTreeSet<&'a str>,
    depth: usize,
) -> Option<()> {
    if depth > ANCESTORS_MAX {
        return None;
    }
    names.extend(model.features.iter().map(String::as_str));
    model
        .parents
        .iter()
        .try_for_each(|parent| gather(by_name.get(parent.as_str())?, by_name, names, depth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> CpuMap {
        CpuMap::new(&parse(text).expect("a map").models)
    }

    fn names(map: &CpuMap, model: &str) -> Option<Vec<String>> {
        Some(map.get(model)?.features.names().into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn an_index_names_files_of_x86_only() {
        let text = "<cpus><arch name='x86'><include filename='x86_features.xml'/><include filename='x86_486.xml'/>\
             </arch><arch name='arm'><include filename='arm_features.xml'/></arch></cpus>";
        assert_eq!(parse(text).expect("an index").includes, ["x86_features.xml", "x86_486.xml"]);
        assert!(parse("<domain/>").is_err());
    }

    #[test]
    fn a_model_has_its_features_and_its_ancestors() {
        let text = "<cpus><arch name='x86'><model name='a'><feature name='fpu'/></model>\
             <model name='b'><model name='a'/><vendor name='AMD'/><feature name='sse'/>\
             <feature name='old' removed='yes'/><feature name='vmx-new' added='yes'/></model></arch>\
             <model name='c'><model name='b'/></model><model name='d'><model name='gone'/></model>\
             <model name='e'><model name='e'/></model></cpus>";
        let map = map(text);
        assert_eq!(names(&map, "b"), Some(vec!["fpu".into(), "sse".into(), "vmx-new".into()]));
        assert_eq!(names(&map, "c"), names(&map, "b"));
        assert_eq!(map.get("b").and_then(|b| b.vendor.as_deref()), Some("AMD"));
        assert_eq!((names(&map, "d"), names(&map, "e")), (None, None), "not known is not there");
        assert_eq!(
            map.iter().map(|(name, one)| (name, one.place)).collect::<Vec<_>>(),
            [("a", 0), ("b", 1), ("c", 2)]
        );
    }
}
