//! The data of the workloads: records and edits of a stated shape, the same for every system, from one seed.

use serde_json::{Value, json};

/// The fields of a record beside its id.
pub const FIELDS: [&str; 6] = ["title", "notes", "status", "priority", "assignee", "updatedAt"];

/// Words, the commoner ones first: the n-th is drawn with a weight of 1 / (n + 2).
const WORDS: &str = "the of to and in is a for that be as on with it by this are or from an at not have can which each one all two other when \
    change data edit text server record device field user order write read time value state part list store space point line page file \
    update merge remove insert replica document history network message version offline cursor position conflict result number example \
    system local remote collection operation concurrent together between without through another following algorithm implementation \
    performance collaborative architecture";

const STATUS: [&str; 4] = ["open", "active", "blocked", "done"];

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Words of `least` to `most` characters in all.
    pub fn words(&mut self, least: u64, most: u64) -> String {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let total: f64 = (0..words.len()).map(|at| 1.0 / (at + 2) as f64).sum();
        let wanted = (least + self.below(most - least + 1)) as usize;
        let mut text = String::new();
        while text.len() < wanted {
            let mut left = self.next() as f64 / u64::MAX as f64 * total;
            let at = words.iter().enumerate().position(|(at, _)| {
                left -= 1.0 / (at + 2) as f64;
                left <= 0.0
            });
            text.push_str(words[at.unwrap_or(0)]);
            text.push(' ');
        }
        text.truncate(wanted);
        text
    }
}

/// A scalar of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Int(i64),
    Text(String),
}

/// An item: an id of 16 hexadecimal digits, and a scalar for each of [`FIELDS`].
#[derive(Debug, Clone)]
pub struct Record {
    pub id: String,
    pub fields: Vec<Scalar>,
}

impl Record {
    /// The record as a line of JSON, about 211 bytes.
    pub fn json(&self) -> String {
        let value = |scalar: &Scalar| match scalar {
            Scalar::Int(int) => json!(int),
            Scalar::Text(text) => json!(text),
        };
        let fields = FIELDS.iter().zip(&self.fields).map(|(name, scalar)| ((*name).to_owned(), value(scalar)));
        let object = std::iter::once(("id".to_owned(), json!(self.id))).chain(fields).collect::<serde_json::Map<_, _>>();
        Value::Object(object).to_string()
    }
}

/// So many records.
pub fn records(count: usize) -> Vec<Record> {
    let mut random = Random(1);
    (0..count).map(|at| record(&mut random, at)).collect()
}

fn record(random: &mut Random, at: usize) -> Record {
    let fields = vec![
        Scalar::Text(random.words(24, 40)),
        Scalar::Text(random.words(40, 64)),
        Scalar::Text(STATUS[random.below(4) as usize].into()),
        Scalar::Int(random.below(10) as i64),
        Scalar::Text(format!("user-{:04}", random.below(10_000))),
        Scalar::Int(1_700_000_000_000 + at as i64 * 61_000),
    ];
    Record { id: format!("{:016x}", random.next()), fields }
}

/// An edit of one field of the record at an index.
#[derive(Debug, Clone)]
pub struct Edit {
    pub record: usize,
    pub field: usize,
    pub value: Scalar,
}

/// So many edits of single fields of `records` records, by one of several editors.
pub fn edits(count: usize, records: usize, editor: u64) -> Vec<Edit> {
    let mut random = Random(1_000 + editor);
    let one = |_| {
        let (record, field) = (random.below(records as u64) as usize, random.below(6) as usize);
        let value = match field {
            0 => Scalar::Text(random.words(32, 32)),
            1 => Scalar::Text(random.words(40, 64)),
            2 => Scalar::Text(STATUS[random.below(4) as usize].into()),
            3 => Scalar::Int(random.below(10) as i64),
            4 => Scalar::Text(format!("user-{:04}", random.below(10_000))),
            _ => Scalar::Int(1_750_000_000_000 + random.below(1_000_000_000) as i64),
        };
        Edit { record, field, value }
    };
    (0..count).map(one).collect()
}
