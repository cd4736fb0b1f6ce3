use hashbrown::{HashTable, hash_table::Entry};

/// A table of boxed values found by the keyed hash of a text that peers choose; it cannot be iterated.
///
/// The hash is made with a [`HashKey`](super::HashKey) from the seed, so nobody outside can make two texts meet in it, and
/// it alone stands for the text. There are many small tables inside, so that none stops the endpoint for long when it grows.
pub(crate) struct Table<T> {
    tables: Box<[HashTable<Box<T>>]>,
    len: usize,
}

/// A value that knows the hash by which it is found.
pub(crate) trait Hashed {
    fn new(hash: u64) -> Self;
    fn hash(&self) -> u64;
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
        self.tables[index(hash)].find(hash, |value| value.hash() == hash).map(|value| &**value)
    }

    pub(crate) fn get_mut(&mut self, hash: u64) -> Option<&mut T> {
        self.tables[index(hash)].find_mut(hash, |value| value.hash() == hash).map(|value| &mut **value)
    }

    pub(crate) fn get_or_insert(&mut self, hash: u64) -> &mut T {
        let table = &mut self.tables[index(hash)];
        match table.entry(hash, |value| value.hash() == hash, |value| value.hash()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.len += 1;
                entry.insert(Box::new(T::new(hash))).into_mut()
            }
        }
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        if let Ok(entry) = self.tables[index(hash)].find_entry(hash, |value| value.hash() == hash) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// Returns all hashes in ascending order, the one walk over everything that shows no order of a table.
    pub(crate) fn sorted(&self) -> Vec<u64> {
        let mut hashes: Vec<u64> = self.tables.iter().flatten().map(|value| value.hash()).collect();
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

    struct Row(u64);

    impl Hashed for Row {
        fn new(hash: u64) -> Self {
            Self(hash)
        }

        fn hash(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn finds_what_it_holds() {
        let mut table = Table::<Row>::new();
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
