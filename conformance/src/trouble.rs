//! Why a step did not pass, and whose fault it is.

use std::fmt;

use crate::cbor::Item;
use crate::edn::print;
use crate::pattern::Difference;

/// Why a step did not pass.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The implementation did something else than the spec says.
    Fault {
        /// The rule broken, where it is another than the step's own.
        rule: Option<String>,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
        /// The first place at which the two differ, where they are values.
        difference: Option<Box<Difference>>,
    },
    /// The implementation died.
    Crash(String),
    /// The implementation did not answer.
    Timeout(String),
    /// The adapter broke its own protocol.
    Adapter(String),
    /// The adapter wrote more than it may.
    Flood(String),
    /// The adapter answered a command with an error.
    Refused(String),
    /// It cannot be seen at this level.
    Unobservable(String),
    /// The implementation could not be started.
    Start(String),
    /// The scenario makes no sense.
    Script(String),
}

impl Trouble {
    /// The implementation's fault against the step's rule.
    pub fn fault(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Fault { rule: None, expected: expected.into(), got: got.into(), difference: None }
    }

    /// The implementation's fault against the step's rule: a value that is not as expected, and where it is not.
    pub fn differs(expected: impl Into<String>, found: &Item, difference: Difference) -> Self {
        Self::Fault { rule: None, expected: expected.into(), got: print(found), difference: Some(Box::new(difference)) }
    }

    /// The implementation's fault against a rule that is checked everywhere.
    pub fn broken(rule: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Fault { rule: Some(rule.to_owned()), expected: expected.into(), got: got.into(), difference: None }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault { expected, got, difference, .. } => {
                write!(f, "expected {expected}\n     got {got}")?;
                difference.as_ref().map_or(Ok(()), |difference| write!(f, "\n      at {difference}"))
            }
            Self::Crash(why) => write!(f, "the implementation died: {why}"),
            Self::Timeout(why) => write!(f, "no answer: {why}"),
            Self::Adapter(why) | Self::Flood(why) => write!(f, "the adapter broke its protocol: {why}"),
            Self::Refused(why) => write!(f, "the adapter refused: {why}"),
            Self::Unobservable(why) => write!(f, "not observable here: {why}"),
            Self::Start(why) => write!(f, "could not be started: {why}"),
            Self::Script(why) => write!(f, "the scenario is wrong: {why}"),
        }
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Script(why)
    }
}
