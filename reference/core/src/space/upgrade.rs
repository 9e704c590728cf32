//! Bringing a base of an earlier layout to the present one.

use super::record::RecordRow;
use super::{SCAN_PAGE, Space, after_prefix};
use crate::codec::Reader;
use crate::store::{Store, StoreError};

/// What the row of a record began with where every cell stood apart: the head of an array of two.
const ALL_APART: u8 = 0x82;

impl Space {
    /// Has each record's row say that its cells stand apart, where it is of the layout in which all did. Cells, index and
    /// fingerprints are the same in both; a cell moves into its row when it is next written.
    ///
    /// # Errors
    /// Where the store fails or is damaged.
    pub(crate) fn upgrade(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        let mut from = self.key(b'c');
        let to = after_prefix(&from);
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                if bytes.first() == Some(&ALL_APART) && self.split(key, 1)?.1.is_none() {
                    store.put(key, &all_apart(bytes)?)?;
                }
            }
        }
    }
}

fn all_apart(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut r = Reader::new(bytes);
    let mut read = || {
        r.array()?;
        Ok((r.uint()?, r.uint()?))
    };
    let (life, position) = read().map_err(super::cells::damaged)?;
    Ok(RecordRow { life, position, apart: true, cells: Vec::new() }.bytes())
}
