//! Pools, each once however many hosts see it.
//!
//! Knows what is left in each, and which hosts see it. Must not know demands.

use std::collections::HashMap;

use super::host::{Pool, PoolKey, Resource};

#[derive(Debug)]
pub(super) struct PoolRow {
    pub(super) key: PoolKey,
    /// None: hosts name it, and nobody said how large it is.
    pub(super) resource: Option<Resource>,
    is_said_shared: bool,
    /// Sorted.
    pub(super) hosts: Vec<u32>,
    pub(super) is_shared: bool,
}

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    rows: Vec<PoolRow>,
    /// What one instance can get; None: not known. Apart from the rows: it is all that the search reads.
    rooms: Vec<Option<u64>>,
    numbers: HashMap<PoolKey, u32>,
}

impl Pools {
    /// The number of this pool; a new one if nothing was said of it.
    pub(super) fn number(&mut self, key: &PoolKey) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.rows.push(PoolRow {
            key: key.clone(),
            resource: None,
            is_said_shared: false,
            hosts: Vec::new(),
            is_shared: false,
        });
        self.rooms.push(None);
        self.numbers.insert(key.clone(), number);
        number
    }

    pub(super) fn find(&self, key: &PoolKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn row(&self, number: u32) -> &PoolRow {
        &self.rows[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    pub(super) fn room(&self, number: u32) -> Option<u64> {
        self.rooms[number as usize]
    }

    /// None: nothing is known of it any more.
    pub(super) fn set(&mut self, number: u32, said: Option<&Pool>) {
        let row = &mut self.rows[number as usize];
        row.resource = said.map(|pool| pool.resource);
        row.is_said_shared = said.is_some_and(|pool| pool.is_shared);
        self.rooms[number as usize] = row.resource.as_ref().map(Resource::room);
    }

    pub(super) fn change(&mut self, number: u32, change: impl FnOnce(&mut Resource)) {
        let row = &mut self.rows[number as usize];
        if let Some(resource) = &mut row.resource {
            change(resource);
            self.rooms[number as usize] = Some(resource.room());
        }
    }

    pub(super) fn join(&mut self, number: u32, host: u32) {
        let hosts = &mut self.rows[number as usize].hosts;
        if let Err(place) = hosts.binary_search(&host) {
            hosts.insert(place, host);
        }
    }

    pub(super) fn leave(&mut self, number: u32, host: u32) {
        let hosts = &mut self.rows[number as usize].hosts;
        if let Ok(place) = hosts.binary_search(&host) {
            hosts.remove(place);
        }
    }

    /// Looks anew whether it is shared; whether that changed.
    pub(super) fn find_shared(&mut self, number: u32) -> bool {
        let row = &mut self.rows[number as usize];
        let is_shared = row.is_said_shared || row.hosts.len() > 1;
        let is_changed = is_shared != row.is_shared;
        row.is_shared = is_shared;
        is_changed
    }

    /// What was said, to build all anew; sorted by nothing.
    pub(super) fn into_said(self) -> Vec<Pool> {
        let said = |row: PoolRow| {
            Some(Pool { key: row.key, resource: row.resource?, is_shared: row.is_said_shared })
        };
        self.rows.into_iter().filter_map(said).collect()
    }

    /// As it was said, with what is promised now.
    pub(super) fn said(&self, key: &PoolKey) -> Option<Pool> {
        let row = self.row(self.find(key)?);
        Some(Pool { key: row.key.clone(), resource: row.resource?, is_shared: row.is_said_shared })
    }
}
