//! Faulty and legal variants of the reference, which prove the suite: it must catch each faulty one by an assertion that names a rule which
//! that one breaks, and must let each legal one pass.

mod list;
mod report;
mod run;

pub use list::{List, Mirror, Mutant};
pub use report::{Kill, Mirrored, Outcome, Report};
pub use run::run;
