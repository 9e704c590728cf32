//! The judge's own CBOR: a strict reader and the one encoding (spec, section 3).
//!
//! It shares no code with the codec under test, and unlike ciborium it tells `undefined` from null.

use std::fmt;

/// The greatest integer of the protocol, 2^53 - 1.
pub const INT_MAX: i128 = (1 << 53) - 1;
const NESTING_MAX: usize = 64;

/// One CBOR data item.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Null.
    Null,
    /// Undefined: an unset field.
    Undefined,
    /// A boolean.
    Bool(bool),
    /// An integer of any size CBOR has.
    Int(i128),
    /// A float.
    Float(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// An array.
    Array(Vec<Item>),
    /// A map, in the order it was met.
    Map(Vec<(Item, Item)>),
}

impl Item {
    /// The integer, where it is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Item::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The items of an array; none for anything else.
    pub fn items(&self) -> &[Item] {
        match self {
            Item::Array(items) => items,
            _ => &[],
        }
    }

    /// The bytes, where it is some.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Why bytes are no frame, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The offset of the item at fault.
    pub at: usize,
    /// Whether it is well-formed CBOR that is not in the one encoding.
    pub canonical_only: bool,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.canonical_only { "not in the one encoding" } else { "not well-formed" };
        write!(f, "{kind}, at byte {}: {}", self.at, self.what)
    }
}

/// Reads a sequence of items strictly.
///
/// # Errors
/// The first fault met.
pub fn decode_sequence(bytes: &[u8]) -> Result<Vec<Item>, Fault> {
    let mut reader = Reader { bytes, at: 0 };
    let mut items = Vec::new();
    while reader.at < bytes.len() {
        items.push(reader.item(0)?);
    }
    Ok(items)
}

/// Reads exactly one item strictly.
///
/// # Errors
/// The first fault met, or bytes that remain.
pub fn decode(bytes: &[u8]) -> Result<Item, Fault> {
    let mut reader = Reader { bytes, at: 0 };
    let item = reader.item(0)?;
    if reader.at < bytes.len() {
        return Err(Fault { at: reader.at, canonical_only: false, what: "bytes remain" });
    }
    Ok(item)
}

/// The one encoding of an item.
pub fn encode(item: &Item) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, item);
    out
}

/// The encodings of several items, one after the other.
pub fn encode_sequence(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    items.iter().for_each(|item| write(&mut out, item));
    out
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn item(&mut self, depth: usize) -> Result<Item, Fault> {
        let start = self.at;
        if depth > NESTING_MAX {
            return Err(malformed(start, "nested too deep"));
        }
        let first = self.take(1)?[0];
        match first >> 5 {
            0 => Ok(Item::Int(integer(start, i128::from(self.argument(first, start)?))?)),
            1 => Ok(Item::Int(integer(start, -1 - i128::from(self.argument(first, start)?))?)),
            2 => {
                let length = self.argument(first, start)?;
                Ok(Item::Bytes(self.take(length as usize)?.to_vec()))
            }
            3 => {
                let length = self.argument(first, start)?;
                let text = std::str::from_utf8(self.take(length as usize)?);
                Ok(Item::Text(text.map_err(|_| malformed(start, "text is not UTF-8"))?.to_owned()))
            }
            4 => {
                let length = self.argument(first, start)?;
                (0..length).map(|_| self.item(depth + 1)).collect::<Result<_, _>>().map(Item::Array)
            }
            5 => self.map(first, start, depth),
            6 => Err(malformed(start, "a tag")),
            _ => self.simple(first, start),
        }
    }

    fn map(&mut self, first: u8, start: usize, depth: usize) -> Result<Item, Fault> {
        let length = self.argument(first, start)?;
        let mut pairs = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        for _ in 0..length {
            let from = self.at;
            let key = self.item(depth + 1)?;
            let bytes = self.bytes[from..self.at].to_vec();
            if last.is_some_and(|last| last >= bytes) {
                return Err(not_canonical(from, "keys out of order or repeated"));
            }
            last = Some(bytes);
            pairs.push((key, self.item(depth + 1)?));
        }
        Ok(Item::Map(pairs))
    }

    fn simple(&mut self, first: u8, start: usize) -> Result<Item, Fault> {
        let value = match first & 31 {
            20 => return Ok(Item::Bool(false)),
            21 => return Ok(Item::Bool(true)),
            22 => return Ok(Item::Null),
            23 => return Ok(Item::Undefined),
            25 => half(u16::from_be_bytes(self.array()?)),
            26 => f64::from(f32::from_be_bytes(self.array()?)),
            27 => f64::from_be_bytes(self.array()?),
            31 => return Err(not_canonical(start, "an indefinite length")),
            _ => return Err(malformed(start, "a simple value")),
        };
        if !value.is_finite() || (value == 0.0 && value.is_sign_negative()) {
            return Err(not_canonical(start, "NaN, an infinity or negative zero"));
        }
        if value.fract() == 0.0 && value.abs() <= INT_MAX as f64 {
            return Err(not_canonical(start, "a float that is an integer"));
        }
        if encode(&Item::Float(value)).len() != self.at - start {
            return Err(not_canonical(start, "a float that is not the shortest"));
        }
        Ok(Item::Float(value))
    }

    fn argument(&mut self, first: u8, start: usize) -> Result<u64, Fault> {
        let (value, least) = match first & 31 {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (u64::from(self.array::<1>()?[0]), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            31 if matches!(first >> 5, 2..=5) => return Err(not_canonical(start, "an indefinite length")),
            _ => return Err(malformed(start, "a reserved length")),
        };
        if value < least { Err(not_canonical(start, "a number that is not the shortest")) } else { Ok(value) }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Fault> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(malformed(self.at, "the bytes end too early"))?;
        let start = std::mem::replace(&mut self.at, end);
        Ok(&self.bytes[start..end])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }
}

fn integer(at: usize, value: i128) -> Result<i128, Fault> {
    if value.abs() > INT_MAX { Err(not_canonical(at, "an integer out of range")) } else { Ok(value) }
}

fn malformed(at: usize, what: &'static str) -> Fault {
    Fault { at, canonical_only: false, what }
}

fn not_canonical(at: usize, what: &'static str) -> Fault {
    Fault { at, canonical_only: true, what }
}

fn write(out: &mut Vec<u8>, item: &Item) {
    match item {
        Item::Null => out.push(0xf6),
        Item::Undefined => out.push(0xf7),
        Item::Bool(value) => out.push(0xf4 + u8::from(*value)),
        Item::Int(n) if *n >= 0 => head(out, 0, *n as u64),
        Item::Int(n) => head(out, 1, (-1 - n) as u64),
        Item::Float(value) => float(out, *value),
        Item::Bytes(bytes) => {
            head(out, 2, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Item::Text(text) => {
            head(out, 3, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        Item::Array(items) => {
            head(out, 4, items.len() as u64);
            items.iter().for_each(|item| write(out, item));
        }
        Item::Map(pairs) => {
            head(out, 5, pairs.len() as u64);
            let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (encode(key), value)).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in pairs {
                out.extend(key);
                write(out, value);
            }
        }
    }
}

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

/// A float in the shortest form; one that is an integer becomes one.
fn float(out: &mut Vec<u8>, value: f64) {
    if value.fract() == 0.0 && value.abs() <= INT_MAX as f64 {
        return write(out, &Item::Int(value as i128));
    }
    let single = value as f32;
    if f64::from(single) != value && !value.is_nan() {
        out.push(0xfb);
        return out.extend(value.to_be_bytes());
    }
    match half_bits(value) {
        Some(bits) => {
            out.push(0xf9);
            out.extend(bits.to_be_bytes());
        }
        None => {
            out.push(0xfa);
            out.extend(single.to_be_bytes());
        }
    }
}

/// The half float that is exactly this value, searched among all: few floats are met here.
fn half_bits(value: f64) -> Option<u16> {
    if value.abs() > 65504.0 {
        return None;
    }
    (0..=u16::MAX).find(|bits| half(*bits) == value)
}

fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from((bits >> 10) & 31), f64::from(bits & 0x3ff));
    match exponent {
        0 => sign * mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(bytes: &[u8]) {
        let item = decode(bytes).expect("one encoding");
        assert_eq!(encode(&item), bytes);
    }

    #[test]
    fn what_is_in_the_one_encoding_comes_back_the_same() {
        for bytes in [
            &[0xf9, 0x3e, 0x00][..],
            &[0xf7],
            &[0x18, 0x18],
            &[0xfa, 0x3d, 0xcc, 0xcc, 0xcd],
            &[0xfb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
        ] {
            round(bytes);
        }
    }

    #[test]
    fn faults_are_told_apart() {
        for (bytes, canonical_only) in
            [(&[0x18, 0x07][..], true), (&[0x9f, 0xff], true), (&[0xc1, 0x00], false), (&[0x61], false), (&[0xf9, 0x3c, 0x00], true)]
        {
            assert_eq!(decode(bytes).expect_err("a fault").canonical_only, canonical_only, "{bytes:02x?}");
        }
    }
}
