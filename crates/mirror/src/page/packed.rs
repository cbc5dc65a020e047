//! Stores cells of variable length.

/// Texts or bytes of one column in one buffer, which needs few allocations per page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    bytes: Vec<u8>,
    /// The end of each cell, and whether it is set. Unset cells are empty.
    ends: Vec<(usize, bool)>,
}

impl Packed {
    /// Appends a cell.
    pub fn push(&mut self, cell: Option<&[u8]>) {
        self.bytes.extend_from_slice(cell.unwrap_or_default());
        self.ends.push((self.bytes.len(), cell.is_some()));
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cells in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> + Clone {
        let mut begins = 0;
        self.ends.iter().map(move |(end, is_set)| {
            let cell = self.bytes.get(begins..*end);
            begins = *end;
            cell.filter(|_| *is_set)
        })
    }
}

impl<T: AsRef<[u8]>> Extend<Option<T>> for Packed {
    fn extend<I: IntoIterator<Item = Option<T>>>(&mut self, cells: I) {
        for cell in cells {
            self.push(cell.as_ref().map(AsRef::as_ref));
        }
    }
}

impl<T: AsRef<[u8]>> FromIterator<Option<T>> for Packed {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(cells: I) -> Self {
        let mut packed = Packed::default();
        packed.extend(cells);
        packed
    }
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
