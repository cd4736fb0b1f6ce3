use hashbrown::{HashTable, hash_table::Entry};

use crate::call::Call;

/// The calls of an endpoint, found by the keyed hash of their Call-ID.
///
/// The hash is keyed with the seed, so nobody outside can make two Call-IDs meet in it. There are many small tables, so
/// that none stops the endpoint for long when it grows.
pub(crate) struct CallTable {
    tables: Box<[HashTable<Box<Call>>]>,
    len: usize,
}

const TABLES: usize = 256;

impl CallTable {
    pub(crate) fn new() -> Self {
        Self { tables: (0..TABLES).map(|_| HashTable::new()).collect(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, hash: u64) -> Option<&Call> {
        self.tables[index(hash)].find(hash, |call| call.hash() == hash).map(|call| &**call)
    }

    pub(crate) fn get_mut(&mut self, hash: u64) -> Option<&mut Call> {
        self.tables[index(hash)].find_mut(hash, |call| call.hash() == hash).map(|call| &mut **call)
    }

    pub(crate) fn get_or_insert(&mut self, hash: u64) -> &mut Call {
        let table = &mut self.tables[index(hash)];
        match table.entry(hash, |call| call.hash() == hash, |call| call.hash()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.len += 1;
                entry.insert(Box::new(Call::new(hash))).into_mut()
            }
        }
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        if let Ok(entry) = self.tables[index(hash)].find_entry(hash, |call| call.hash() == hash) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// Returns the hashes of all calls in ascending order, so that no order of a table shows outside.
    pub(crate) fn sorted(&self) -> Vec<u64> {
        let mut hashes: Vec<u64> = self.tables.iter().flatten().map(|call| call.hash()).collect();
        hashes.sort_unstable();
        hashes
    }
}

/// The top bits choose the table; the ones below are left to find the place in it.
const fn index(hash: u64) -> usize {
    (hash >> 56) as usize % TABLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_holds() {
        let mut table = CallTable::new();
        for n in 0..1000u64 {
            table.get_or_insert(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        table.get_or_insert(0);
        assert_eq!(table.len(), 1000);
        table.remove(0);
        table.remove(0);
        assert_eq!(table.len(), 999);
        assert!(table.get(0).is_none());
        assert!(table.sorted().is_sorted());
    }
}
