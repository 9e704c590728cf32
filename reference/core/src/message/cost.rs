//! What the messages of a frame cost in credit. Spec 15.

use crate::codec::Reader;

/// The messages that need credit, by code: `push`, `change`, `states`, `void`. (FLOW-1)
const NEED_CREDIT: [u64; 4] = [5, 8, 9, 21];

/// The bytes of each message in a frame, 0 where it needs no credit; none from where the frame is malformed.
pub fn costs(frame: &[u8]) -> Vec<u64> {
    let mut r = Reader::new(frame);
    let mut costs = Vec::new();
    if r.uint().is_err() {
        return costs;
    }
    while !r.is_end() {
        let at = r.position();
        let mut inside = Reader::new(&frame[at..]);
        let code = inside.array().and_then(|_| inside.uint());
        let (Ok(code), Ok(_)) = (code, r.skip_item()) else { return costs };
        costs.push(if NEED_CREDIT.contains(&code) { (r.position() - at) as u64 } else { 0 });
    }
    costs
}
