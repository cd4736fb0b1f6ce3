#![expect(clippy::disallowed_types, reason = "what can be iterated is hidden here, behind what cannot")]

use hashbrown::{HashTable, hash_table::Entry};

/// A table of boxed values found by the keyed hash of a text that peers choose; it cannot be iterated.
///
/// The hash is made with a [`HashKey`](super::HashKey) from the seed, so nobody outside can make two texts meet in it, and
/// it alone stands for the text. There are many small tables inside, so that none stops the endpoint for long when it grows.
pub(crate) struct Table<T> {
    tables: Box<[HashTable<Row<T>>]>,
    len: usize,
}

/// The hash stands beside the box: to compare it, or to make room, no value has to be fetched from memory.
type Row<T> = (u64, Box<T>);

/// A value that is made for the hash by which it is found.
pub(crate) trait Hashed {
    fn new(hash: u64) -> Self;
}

const TABLES: usize = 256;

impl<T: Hashed> Table<T> {
    pub(crate) fn new() -> Self {
        Self { tables: (0..TABLES).map(|_| HashTable::new()).collect(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, hash: u64) -> Option<&T> {
        self.tables[index(hash)].find(hash, |row| row.0 == hash).map(|row| &*row.1)
    }

    pub(crate) fn get_mut(&mut self, hash: u64) -> Option<&mut T> {
        self.tables[index(hash)].find_mut(hash, |row| row.0 == hash).map(|row| &mut *row.1)
    }

    pub(crate) fn get_or_insert(&mut self, hash: u64) -> &mut T {
        let table = &mut self.tables[index(hash)];
        match table.entry(hash, |row| row.0 == hash, |row| row.0) {
            Entry::Occupied(entry) => &mut entry.into_mut().1,
            Entry::Vacant(entry) => {
                self.len += 1;
                &mut entry.insert((hash, Box::new(T::new(hash)))).into_mut().1
            }
        }
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        if let Ok(entry) = self.tables[index(hash)].find_entry(hash, |row| row.0 == hash) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// Returns all hashes in ascending order, the one walk over everything that shows no order of a table.
    pub(crate) fn sorted(&self) -> Vec<u64> {
        let mut hashes: Vec<u64> = self.tables.iter().flatten().map(|row| row.0).collect();
        hashes.sort_unstable();
        hashes
    }
}

/// Bits in the middle choose the table. `HashTable` finds the place by the lowest ones and tells neighbours apart by the
/// seven at the top: if those chose the table, all in it would look alike.
const fn index(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Value(u64);

    impl Hashed for Value {
        fn new(hash: u64) -> Self {
            Self(hash)
        }
    }

    #[test]
    fn finds_what_it_holds() {
        let mut table = Table::<Value>::new();
        for n in 0..1000u64 {
            table.get_or_insert(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        table.get_or_insert(0);
        assert_eq!(table.len(), 1000);
        table.remove(0);
        table.remove(0);
        assert_eq!(table.len(), 999);
        assert!(table.get(0).is_none());
        assert_eq!(table.get(0x9e37_79b9_7f4a_7c15).map(|row| row.0), Some(0x9e37_79b9_7f4a_7c15));
        assert!(table.sorted().is_sorted());
    }

    /// Each half of the hash's bits that a table uses for itself is left free within it.
    #[test]
    fn neighbours_differ_at_the_top_and_at_the_bottom() {
        assert_eq!(index(0xfe00_0000_0000_ffff), index(0));
        let spread: std::collections::BTreeSet<_> = (0..256u64).map(|n| index(n << 40)).collect();
        assert_eq!(spread.len(), TABLES);
    }
}
