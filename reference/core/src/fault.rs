//! Faulty variants of this code, by which the conformance suite proves that it catches them.
//!
//! Each is one deviation, made at the place where a rule is kept: `if fault::is("name")`. The names, and the rules that they break, stand in
//! `conformance/mutants`. Without the feature `mutants` [`is`] is a constant and no variant is compiled.

/// Whether the program runs as the variant of this name.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use selected::{VARIABLE, is, select};

#[cfg(feature = "mutants")]
mod selected {
    use std::sync::OnceLock;

    /// The environment variable from which a program takes the name that it gives to [`select`]. The word stands in no other build.
    pub const VARIABLE: &str = "SYNCLINE_MUTANT";

    /// Of the whole process, so that no function has to hand it down: a variant is a property of the build as far as the code can tell.
    static NAME: OnceLock<String> = OnceLock::new();

    /// Makes the program the variant of this name, before it does anything else; a second call changes nothing.
    pub fn select(name: String) {
        NAME.get_or_init(|| name);
    }

    /// Whether the program runs as the variant of this name.
    pub fn is(name: &str) -> bool {
        NAME.get().is_some_and(|selected| selected == name)
    }
}
