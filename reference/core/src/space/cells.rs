//! How the cells that stand apart from their record's row are kept in the store.

use super::record::read_stamp;
use super::{Cell, CellName};
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::rules::lww::{Lww, write_stamp};
use crate::rules::{Join, State, join_of};
use crate::store::StoreError;

pub(super) fn cell_bytes(state: &State, position: u64) -> Vec<u8> {
    let mut w = Writer::default();
    let (items, value) = match state {
        State::Stamped(cell) => (4, cell.value.as_ref()),
        State::Extreme(value) => (1, Some(value)),
        State::Sequenced { value, .. } => (2, Some(value)),
        State::Dot(value) => (1, value.as_ref()),
    };
    w.array(items + usize::from(value.is_some()));
    w.uint(position);
    match state {
        State::Stamped(cell) => write_stamp(&mut w, &cell.stamp),
        State::Sequenced { seq, .. } => w.uint(*seq),
        State::Extreme(_) | State::Dot(_) => {}
    }
    if let Some(value) = value {
        w.value(value);
    }
    w.finish()
}

pub(super) fn read_cell(name: &CellName, bytes: &[u8]) -> Result<Cell, StoreError> {
    let mut r = Reader::new(bytes);
    let mut read = || -> Result<Cell, CodecError> {
        let items = r.array()?;
        let position = r.uint()?;
        let state = match join_of(name.rule) {
            Some(Join::GreaterStamp) => {
                let stamp = read_stamp(&mut r)?;
                let value = if items == 5 { Some(r.value(0)?) } else { None };
                State::Stamped(Lww { stamp, value })
            }
            Some(Join::Greatest | Join::Least) => State::Extreme(r.value(0)?),
            Some(Join::GreaterSeq) => State::Sequenced { seq: r.uint()?, value: r.value(0)? },
            Some(Join::RemovedWins) => State::Dot(if items == 2 { Some(r.value(0)?) } else { None }),
            None => return r.fault(Fault::Schema("a rule that can be kept")),
        };
        Ok(Cell { state, position })
    };
    read().map_err(damaged)
}

pub(super) fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("a stored cell is damaged: {error}"))
}
