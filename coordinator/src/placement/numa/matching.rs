//! Which host cell does each guest cell get?
//!
//! Knows which pairs fit, an order of preference of host cells, and whom to ask about devices. Must not know why a pair
//! fits.
//!
//! Sets of host cells that can be matched are the independent sets of a matroid. So without devices the greedy choice is
//! both exact and the best: of all sets that do, the first by the order. Devices make some sets unfit; then sets are tried
//! in that same order, with what can lead nowhere left out.

use super::devices::Devices;

/// Sets tried. There are fewer than this of 16 host cells, so with 16 or fewer the search always ends by itself.
pub(super) const STEPS_MAX: u32 = 1 << 16;

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// For each guest cell the place of its host cell.
    Found(Vec<usize>),
    /// These guest cells can only go on these host cells, and they are fewer.
    Together {
        guests: Vec<usize>,
        hosts: Vec<usize>,
    },
    /// On this set and on every other devices lack.
    Devices(Vec<usize>),
    GaveUp,
}

/// For each guest cell its place among the candidates.
type Mates = Vec<Option<usize>>;

#[derive(Debug)]
pub(super) struct Search<'a> {
    /// Places of host cells, best first.
    candidates: &'a [usize],
    /// For each candidate the guest cells that fit there, ascending.
    admits: &'a [Vec<usize>],
    guests: usize,
    devices: &'a Devices,
    /// Sets tried so far.
    pub(super) steps: u32,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        candidates: &'a [usize],
        admits: &'a [Vec<usize>],
        guests: usize,
        devices: &'a Devices,
    ) -> Self {
        Self { candidates, admits, guests, devices, steps: 0 }
    }

    pub(super) fn run(&mut self) -> Outcome {
        let mut mates: Mates = vec![None; self.guests];
        let mut chosen = Vec::with_capacity(self.guests);
        for candidate in 0..self.candidates.len() {
            if chosen.len() == self.guests {
                break;
            }
            self.steps += 1;
            if self.augment(candidate, &mut mates) {
                chosen.extend(self.candidates.get(candidate));
            }
        }
        if chosen.len() < self.guests {
            return self.crowded(&mates);
        }
        if self.devices.lack(&chosen).is_none() {
            return Outcome::Found(self.hosts(&mates));
        }
        self.steps = 0;
        match self.extend(0, &mut Vec::new(), &vec![None; self.guests]) {
            Some(mates) => Outcome::Found(self.hosts(&mates)),
            None if self.steps > STEPS_MAX => Outcome::GaveUp,
            None => Outcome::Devices(chosen),
        }
    }

    /// The first set that begins with what is chosen and goes on with candidates from this one.
    fn extend(&mut self, from: usize, chosen: &mut Vec<usize>, mates: &Mates) -> Option<Mates> {
        let more = self.guests - chosen.len();
        if more == 0 {
            return self.devices.lack(chosen).is_none().then(|| mates.clone());
        }
        for next in from..self.candidates.len() {
            let rest = self.candidates.get(next..).unwrap_or_default();
            if rest.len() < more || !self.devices.could_suit(chosen, more, rest) {
                return None;
            }
            if self.has_twin_left_out(next, chosen) {
                continue;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return None;
            }
            let mut longer = mates.clone();
            if !self.augment(next, &mut longer) {
                continue;
            }
            chosen.extend(rest.first());
            let found = self.extend(next + 1, chosen, &longer);
            chosen.pop();
            if found.is_some() || self.steps > STEPS_MAX {
                return found;
            }
        }
        None
    }

    /// Of cells that are alike in all that counts, the first are taken: with another the set would do no better.
    fn has_twin_left_out(&self, next: usize, chosen: &[usize]) -> bool {
        let (Some(cell), admits) = (self.candidates.get(next), self.admits.get(next)) else { return false };
        let mut before = self.candidates.iter().zip(self.admits).take(next);
        before.any(|(other, theirs)| {
            Some(theirs) == admits && self.devices.are_twins(*cell, *other) && !chosen.contains(other)
        })
    }

    /// Brings the candidate into the matching, moving others; false, and no change, if it cannot.
    fn augment(&self, candidate: usize, mates: &mut Mates) -> bool {
        self.augment_past(candidate, mates, &mut vec![false; self.guests])
    }

    /// At most one level for each guest cell.
    fn augment_past(&self, candidate: usize, mates: &mut Mates, seen: &mut [bool]) -> bool {
        for guest in self.admits.get(candidate).into_iter().flatten() {
            match seen.get_mut(*guest) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let mate = mates.get(*guest).copied().flatten();
            if mate.is_none_or(|mate| self.augment_past(mate, mates, seen)) {
                if let Some(mate) = mates.get_mut(*guest) {
                    *mate = Some(candidate);
                }
                return true;
            }
        }
        false
    }

    fn hosts(&self, mates: &Mates) -> Vec<usize> {
        mates.iter().flatten().filter_map(|candidate| self.candidates.get(*candidate)).copied().collect()
    }

    /// From a guest cell left over: all that would have to move for it, and where they could go.
    fn crowded(&self, mates: &Mates) -> Outcome {
        let mut guests: Vec<usize> = mates.iter().position(Option::is_none).into_iter().collect();
        let mut hosts = Vec::new();
        let mut looked = 0;
        while let Some(guest) = guests.get(looked).copied() {
            looked += 1;
            for (candidate, admits) in self.admits.iter().enumerate() {
                if admits.contains(&guest) && !hosts.contains(&candidate) {
                    hosts.push(candidate);
                    let holder = mates.iter().position(|mate| *mate == Some(candidate));
                    guests.extend(holder.filter(|holder| !guests.contains(holder)));
                }
            }
        }
        guests.sort_unstable();
        let mut hosts: Vec<usize> =
            hosts.into_iter().filter_map(|candidate| self.candidates.get(candidate)).copied().collect();
        hosts.sort_unstable();
        Outcome::Together { guests, hosts }
    }
}
