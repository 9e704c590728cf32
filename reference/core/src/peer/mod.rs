//! What two clients that are linked without a server between them need: the machine of one link, and what a client
//! holds of other authors. Spec 21.
//!
//! ```text
//! dials:   AwaitWelcome ──welcome, send open──▶ AwaitOpened ──opened──▶ Joined ──error, bye, hang-up──▶ gone
//! listens: AwaitHello ──hello, send welcome──▶ AwaitOpen ──open, send opened──▶ Joined
//! ```

pub(crate) mod held;
pub(crate) mod link;

use crate::change::Cursor;
use crate::clock::History;

/// Names a link; the shell's choice, unique while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The cursor of a position and history as a link carries them; position 0 says that there is none.
pub(crate) fn cursor(position: u64, history: History) -> Option<Cursor> {
    (position > 0).then_some(Cursor { position, history, staged: None })
}

/// The position and history that stand for a cursor on a link.
pub(crate) fn place(cursor: Option<&Cursor>) -> (u64, History) {
    cursor.map_or((0, History([0; 8])), |cursor| (cursor.position, cursor.history))
}
