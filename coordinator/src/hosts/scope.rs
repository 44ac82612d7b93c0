//! Which hosts a question is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{HostEntry, Registry};

/// Hosts that every condition admits; the default admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these; empty for all.
    pub names: BTreeSet<String>,
    /// Only hosts with these labels.
    pub labels: BTreeMap<String, String>,
    /// Not these, on the caller's word.
    pub exclude: BTreeSet<String>,
    /// Only this architecture; None for all. Known only once a host is read, so [`Scope::select`] does not look at it.
    pub arch: Option<String>,
}

/// A scope that cannot be answered about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Names nobody registered.
    #[error("no such host: {}. `vmuster hosts list` shows the registered ones", .0.join(", "))]
    NotRegistered(Vec<String>),
    /// Hosts that are registered, asked about as part of a scope they are not in.
    #[error("not in scope: {}", .0.join(", "))]
    NotInScope(Vec<String>),
    /// Nothing left.
    #[error("no host matches: {0}")]
    Empty(String),
}

impl Scope {
    /// Only this host.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { names: BTreeSet::from([name.to_owned()]), ..Self::default() }
    }

    /// The hosts in scope, by name.
    ///
    /// # Errors
    /// A name that is not registered (a mistyped exclusion would quietly not exclude), or no host at all.
    pub fn select(&self, registry: &Registry) -> Result<Vec<Arc<HostEntry>>, ScopeError> {
        let (names, exclude) = (registered(&self.names, registry), registered(&self.exclude, registry));
        self.check(registry)?;
        let in_scope = |host: &&Arc<HostEntry>| {
            (names.is_empty() || names.contains(&host.name))
                && !exclude.contains(&host.name)
                && self.labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
        };
        let hosts: Vec<_> = registry.iter().filter(in_scope).cloned().collect();
        if hosts.is_empty() {
            return Err(ScopeError::Empty(self.why_empty(registry)));
        }
        Ok(hosts)
    }

    /// With names as the registry spells them.
    #[must_use]
    pub fn spelled(&self, registry: &Registry) -> Self {
        Self {
            names: registered(&self.names, registry),
            exclude: registered(&self.exclude, registry),
            ..self.clone()
        }
    }

    /// Whether all names are registered.
    ///
    /// # Errors
    /// One is not.
    pub fn check(&self, registry: &Registry) -> Result<(), ScopeError> {
        let named = registered(&self.names, registry);
        let unknown = named.union(&registered(&self.exclude, registry)).cloned().collect::<Vec<_>>();
        let unknown: Vec<_> = unknown.into_iter().filter(|name| registry.get(name).is_none()).collect();
        if unknown.is_empty() { Ok(()) } else { Err(ScopeError::NotRegistered(unknown)) }
    }

    fn why_empty(&self, registry: &Registry) -> String {
        if registry.is_empty() {
            return "no host is registered; add one with `vmuster hosts add`, or in the coordinator's hosts file"
                .to_owned();
        }
        let mut conditions = Vec::new();
        if !self.names.is_empty() {
            conditions.push(format!("named {}", self.names.iter().cloned().collect::<Vec<_>>().join(" or ")));
        }
        if !self.labels.is_empty() {
            let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            conditions.push(format!("labelled {}", labels.join(" and ")));
        }
        if !self.exclude.is_empty() {
            conditions.push("not excluded".to_owned());
        }
        format!("of {} registered, none is {}", registry.len(), conditions.join(" and "))
    }
}

/// Names as the registry spells them: DNS does not tell upper case from lower, so neither need the caller.
pub(crate) fn registered(names: &BTreeSet<String>, registry: &Registry) -> BTreeSet<String> {
    let spelled = |name: &String| {
        let lower = name.to_ascii_lowercase();
        if registry.get(name).is_none() && registry.get(&lower).is_some() { lower } else { name.clone() }
    };
    names.iter().map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let host = |name: &str, zone: &str| {
            let labels = BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
            HostEntry { labels, ..HostEntry::new(name, None) }
        };
        Registry::new([host("a", "1"), host("b", "1"), host("c", "2")]).expect("distinct")
    }

    fn names(scope: &Scope) -> Vec<String> {
        scope.select(&registry()).expect("some").iter().map(|host| host.name.clone()).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_condition_narrows() {
        assert_eq!(names(&Scope::default()), ["a", "b", "c"]);
        assert_eq!(names(&Scope { exclude: set(&["b"]), ..Scope::default() }), ["a", "c"]);
        let zone = BTreeMap::from([("zone".to_owned(), "1".to_owned())]);
        assert_eq!(names(&Scope { labels: zone.clone(), ..Scope::default() }), ["a", "b"]);
        assert_eq!(names(&Scope { labels: zone, names: set(&["B", "c"]), ..Scope::default() }), ["b"]);
    }

    #[test]
    fn nothing_is_an_error_that_says_why() {
        let unknown = Scope { names: set(&["a", "x"]), exclude: set(&["y"]), ..Scope::default() };
        assert_eq!(unknown.select(&registry()), Err(ScopeError::NotRegistered(vec!["x".into(), "y".into()])));
        let none = Scope { exclude: set(&["a", "b", "c"]), ..Scope::default() };
        assert!(matches!(none.select(&registry()), Err(ScopeError::Empty(_))));
        assert!(matches!(Scope::default().select(&Registry::default()), Err(ScopeError::Empty(_))));
    }
}
