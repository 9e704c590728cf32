//! `conform.toml`: what an implementer gives (README, conform.toml).

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// What an implementer gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who is judged.
    pub implementation: Implementation,
    /// The profiles it claims.
    #[serde(default = "core_only")]
    pub profiles: Vec<String>,
    /// The frozen revision of the suite that it claims (README, Versions).
    #[serde(default = "draft")]
    pub revision: String,
    /// The highest level to run at.
    pub level: Option<String>,
    /// A server to start or to reach.
    pub server: Option<Server>,
    /// A client to start; for recordings.
    pub client: Option<Program>,
    /// The adapter.
    pub adapter: Option<AdapterProgram>,
    /// What is known to fail.
    #[serde(default)]
    pub known: Vec<Known>,
}

/// Who is judged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Implementation {
    /// Its name.
    pub name: String,
    /// Which of its versions.
    #[serde(default)]
    pub version: String,
    /// Where its faults are told.
    #[serde(default)]
    pub issues: String,
}

/// A server to start or to reach.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Program and arguments.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// Where one runs.
    pub address: Option<String>,
}

/// A program and its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Program and arguments.
    pub cmd: Vec<String>,
}

/// The adapter's command, and how long it may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterProgram {
    /// Program and arguments.
    pub cmd: Vec<String>,
    /// Milliseconds in which a command is answered. Six times as long is the most that the harness waits in one scenario.
    #[serde(default = "ten_seconds")]
    pub answer_ms: u64,
}

impl AdapterProgram {
    /// How long an answer may take.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.answer_ms.min(ANSWER_MS_MAX))
    }
}

/// A check that is known to fail, until a day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The check's name.
    pub check: String,
    /// Where it is followed.
    pub issue: String,
    /// The last day (YYYY-MM-DD) on which it may fail.
    pub until: String,
}

fn draft() -> String {
    crate::revision::DRAFT.to_owned()
}

/// The levels of attachment, the lowest first.
pub const LEVELS: [&str; 4] = ["L0", "L1", "L2", "L3"];
/// The longest that an answer may be waited for.
const ANSWER_MS_MAX: u64 = 600_000;

fn ten_seconds() -> u64 {
    10_000
}

fn core_only() -> Vec<String> {
    vec!["core".to_owned()]
}

impl Config {
    /// Reads a file; in a command `{bin}` stands for the folder of this program, `{dir}` for the folder of the file.
    ///
    /// # Errors
    /// A file that cannot be read or makes no sense.
    pub fn load(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        if config.level.as_deref().is_some_and(|level| !LEVELS.contains(&level)) {
            return Err(format!("{}: level is one of {}", file.display(), LEVELS.join(", ")));
        }
        let exe = std::env::current_exe().map_err(|error| error.to_string())?;
        let bin = exe.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
        let dir = file.canonicalize().map_err(|error| format!("{}: {error}", file.display()))?;
        let dir = dir.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
        let commands = [config.server.as_mut().map(|server| &mut server.cmd), config.adapter.as_mut().map(|adapter| &mut adapter.cmd)];
        for word in commands.into_iter().flatten().flatten() {
            *word = word.replace("{bin}", &bin).replace("{dir}", &dir);
        }
        Ok(config)
    }

    /// The highest level it allows, from 0 to 3.
    pub fn level(&self) -> u8 {
        let index = self.level.as_deref().and_then(|level| LEVELS.iter().position(|known| *known == level));
        index.and_then(|index| u8::try_from(index).ok()).unwrap_or(3)
    }
}

/// Today, as YYYY-MM-DD in UTC.
pub fn today() -> String {
    rfc3339(crate::sockets::unix_ms()).chars().take(10).collect()
}

/// Unix milliseconds as a day and a time of it in UTC, to the second.
pub fn rfc3339(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    let days = (ms / 86_400_000) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }
}
