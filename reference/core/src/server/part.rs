//! How many cells a part holds. Spec 8.

use crate::change::RecordName;
use crate::codec::Writer;
use crate::fault;
use crate::rules::State;
use crate::space::Changed;

/// Cells read for one part.
pub(super) const PART_CELLS_MAX: usize = 4_096;
/// What a cell that shares no row costs in a part beside its names and value, at the most.
const CELL_OVERHEAD: usize = 24;
/// What another column of a row costs beside its field, key and value, at the most.
const COLUMN_OVERHEAD: usize = 12;

/// The cells up to `upto` that fit a part, cut where a position ends, and the position the part reaches. (SYNC-10)
pub(super) fn whole_positions(page: Vec<(u64, Changed)>, upto: u64, bytes_max: usize) -> (Vec<Changed>, u64) {
    let full = page.len() == PART_CELLS_MAX;
    let end = page.last().map_or(0, |(position, _)| *position);
    let mut cells: Vec<Changed> = Vec::new();
    let mut bytes = 0;
    for group in page.chunk_by(|(a, _), (b, _)| a == b) {
        let position = group[0].0;
        bytes += group_bytes(group);
        // The position that a full page breaks off in may be incomplete.
        let cut = bytes > bytes_max && !fault::is("sync-parts-of-any-size") || full && position == end;
        if position > upto || cut && !cells.is_empty() {
            return (cells, upto.min(position - 1));
        }
        cells.extend(group.iter().map(|(_, cell)| cell.clone()));
    }
    (cells, if full { end } else { upto })
}

/// What the cells of one position take at most: those of one record and stamp share a row.
fn group_bytes(group: &[(u64, Changed)]) -> usize {
    let mut row = None;
    let mut bytes = 0;
    for (_, cell) in group {
        let own = match cell {
            Changed::Cell(record, _, name, State::Stamped(held)) => Some((record, held.stamp, name, &held.value)),
            _ => None,
        };
        bytes += match (own, row) {
            (Some((record, stamp, name, value)), Some(before)) if before == (record, stamp) => {
                let mut w = Writer::default();
                value.iter().for_each(|value| w.value(value));
                COLUMN_OVERHEAD + name.field.len() + name.key.as_bytes().len() + w.finish().len()
            }
            _ => size(cell),
        };
        row = own.map(|(record, stamp, ..)| (record, stamp));
    }
    bytes
}

pub(super) fn size(cell: &Changed) -> usize {
    let names = |record: &RecordName| record.collection.len() + record.id.len() + CELL_OVERHEAD;
    match cell {
        Changed::Life(record, _) => names(record),
        Changed::Cell(record, _, name, state) => {
            let mut w = Writer::default();
            state.write_digested(&mut w);
            names(record) + name.field.len() + name.key.as_bytes().len() + CELL_OVERHEAD + w.finish().len()
        }
    }
}
