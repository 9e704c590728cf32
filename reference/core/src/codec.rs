//! The one encoding: deterministic CBOR, read in one strict pass. Spec 3.

use std::fmt;

use crate::limits::{DEPTH_MAX, INT_MAX};
use crate::value::{Value, ValueMap, key_order};

/// Levels that messages add around values.
const MESSAGE_DEPTH: usize = 8;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An integer or a length is longer than it need be. (CODEC-1)
    LongInteger,
    /// A float is longer than it need be. (CODEC-1)
    LongFloat,
    /// A float is an integer that has an integer's form. (CODEC-2)
    FloatIsInteger,
    /// An integer outside ±(2^53 - 1). (CODEC-3)
    IntegerRange,
    /// NaN, an infinity or negative zero. (CODEC-4)
    FloatDomain,
    /// Map keys out of order or twice. (CODEC-5)
    KeyOrder,
    /// An indefinite length. (CODEC-6)
    Indefinite,
    /// Text that is not UTF-8. (CODEC-7)
    Utf8,
    /// A tag. (CODEC-8)
    Tag,
    /// A simple value that is not allowed here. (CODEC-8)
    Simple,
    /// A key that is not text. (CODEC-9)
    KeyType,
    /// Nested too deep. (CODEC-10)
    Depth,
    /// The bytes end too early. (CODEC-11)
    Truncated,
    /// Bytes remain. (CODEC-11)
    Trailing,
    /// A well-encoded item that the schema does not allow here. (CODEC-13)
    Schema(&'static str),
}

impl Fault {
    /// Whether the bytes are well-formed CBOR in another than the one encoding. (CODEC-12)
    pub fn is_canonical_only(self) -> bool {
        use Fault::{FloatDomain, FloatIsInteger, Indefinite, IntegerRange, KeyOrder, LongFloat, LongInteger};
        matches!(self, LongInteger | LongFloat | FloatIsInteger | IntegerRange | FloatDomain | KeyOrder | Indefinite)
    }
}

/// The first fault met, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecError {
    /// The offset in bytes of the item at fault.
    pub at: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Schema(expected) => write!(f, "byte {}: expected {expected}", self.at),
            fault => write!(f, "byte {}: {fault:?}", self.at),
        }
    }
}

impl std::error::Error for CodecError {}

/// A major type of CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    /// A non-negative integer.
    Uint,
    /// A negative integer.
    Nint,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag.
    Tag,
    /// A float or a simple value.
    Simple,
}

const MAJORS: [Major; 8] =
    [Major::Uint, Major::Nint, Major::Bytes, Major::Text, Major::Array, Major::Map, Major::Tag, Major::Simple];

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const UNDEFINED: u8 = 0xf7;

/// Reads items one after another, and refuses all but the one encoding. Allocates only for what it has read. (CODEC-14)
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next item.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub fn is_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// A fault at the present offset.
    pub fn fault<T>(&self, fault: Fault) -> Result<T, CodecError> {
        Err(CodecError { at: self.at, fault })
    }

    /// The major type of the next item.
    pub fn peek(&self) -> Result<Major, CodecError> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(MAJORS[usize::from(byte >> 5)]),
            None => self.fault(Fault::Truncated),
        }
    }

    /// Whether the next item is null.
    pub fn is_null(&self) -> bool {
        self.bytes.get(self.at) == Some(&NULL)
    }

    /// Whether the next item is undefined.
    pub fn is_undefined(&self) -> bool {
        self.bytes.get(self.at) == Some(&UNDEFINED)
    }

    /// A non-negative integer up to 2^53 - 1.
    pub fn uint(&mut self) -> Result<u64, CodecError> {
        let at = self.at;
        let argument = self.head(Major::Uint, "an integer of 0 or more")?;
        in_range(at, argument)
    }

    /// An integer within ±(2^53 - 1).
    pub fn int(&mut self) -> Result<i64, CodecError> {
        let at = self.at;
        match self.peek()? {
            Major::Nint => {
                let argument = self.head(Major::Nint, "an integer")?;
                // -1 - argument is in range when argument is one less than the bound.
                if argument >= INT_MAX as u64 {
                    return Err(CodecError { at, fault: Fault::IntegerRange });
                }
                Ok(-1 - argument as i64)
            }
            _ => {
                let argument = self.head(Major::Uint, "an integer")?;
                Ok(in_range(at, argument)? as i64)
            }
        }
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.head(Major::Bytes, "bytes")?;
        self.take(length)
    }

    /// Text.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let at = self.at;
        let length = self.head(Major::Text, "text")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CodecError { at, fault: Fault::Utf8 })
    }

    /// The head of an array: how many items follow. Claimed only; the items may not be there.
    pub fn array(&mut self) -> Result<usize, CodecError> {
        self.count(Major::Array, "an array")
    }

    /// The head of a map: how many pairs follow. Claimed only.
    pub fn map(&mut self) -> Result<usize, CodecError> {
        self.count(Major::Map, "a map")
    }

    fn count(&mut self, major: Major, expected: &'static str) -> Result<usize, CodecError> {
        let length = self.head(major, expected)?;
        usize::try_from(length).or_else(|_| self.fault(Fault::Truncated))
    }

    /// A boolean.
    pub fn bool(&mut self) -> Result<bool, CodecError> {
        let at = self.at;
        match self.simple()? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(CodecError { at, fault: Fault::Schema("a boolean") }),
        }
    }

    /// Null.
    pub fn null(&mut self) -> Result<(), CodecError> {
        let at = self.at;
        match self.simple()? {
            NULL => Ok(()),
            _ => Err(CodecError { at, fault: Fault::Schema("null") }),
        }
    }

    /// Undefined, which stands for an unset field.
    pub fn undefined(&mut self) -> Result<(), CodecError> {
        let at = self.at;
        match self.simple()? {
            UNDEFINED => Ok(()),
            _ => Err(CodecError { at, fault: Fault::Schema("undefined") }),
        }
    }

    /// A simple value that the format allows, as its byte.
    fn simple(&mut self) -> Result<u8, CodecError> {
        if self.peek()? != Major::Simple {
            return self.fault(Fault::Schema("a simple value"));
        }
        match self.bytes[self.at] {
            byte @ FALSE..=UNDEFINED => {
                self.at += 1;
                Ok(byte)
            }
            0xf9..=0xfb => self.fault(Fault::Schema("a simple value")),
            0xff => self.fault(Fault::Indefinite),
            _ => self.fault(Fault::Simple),
        }
    }

    /// A value; arrays and maps nest to `DEPTH_MAX`, of which `depth` levels are used already.
    pub fn value(&mut self, depth: usize) -> Result<Value, CodecError> {
        match self.peek()? {
            Major::Uint | Major::Nint => self.int().map(Value::Int),
            Major::Bytes => Ok(Value::Bytes(self.bytes()?.to_vec())),
            Major::Text => Ok(Value::Text(self.text()?.to_owned())),
            Major::Tag => self.fault(Fault::Tag),
            Major::Simple => self.simple_value(),
            Major::Array | Major::Map if depth >= DEPTH_MAX => self.fault(Fault::Depth),
            Major::Array => {
                let items = self.array()?;
                let mut array = Vec::with_capacity(items.min(self.left()));
                for _ in 0..items {
                    array.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(array))
            }
            Major::Map => self.value_map(depth + 1).map(Value::Map),
        }
    }

    fn value_map(&mut self, depth: usize) -> Result<ValueMap, CodecError> {
        let pairs = self.map()?;
        let mut read: Vec<(String, Value)> = Vec::with_capacity(pairs.min(self.left()));
        for _ in 0..pairs {
            let at = self.at;
            if self.peek()? != Major::Text {
                self.skip_item()?;
                return Err(CodecError { at, fault: Fault::KeyType });
            }
            let key = self.text()?;
            if read.last().is_some_and(|(before, _)| key_order(before, key).is_ge()) {
                return Err(CodecError { at, fault: Fault::KeyOrder });
            }
            let value = self.value(depth)?;
            read.push((key.to_owned(), value));
        }
        Ok(ValueMap::new(read).expect("the keys were found ascending"))
    }

    fn simple_value(&mut self) -> Result<Value, CodecError> {
        match self.bytes[self.at] {
            0xf9..=0xfb => self.float(),
            UNDEFINED => self.fault(Fault::Simple),
            _ => Ok(match self.simple()? {
                FALSE => Value::Bool(false),
                TRUE => Value::Bool(true),
                _ => Value::Null,
            }),
        }
    }

    /// A float in its shortest form that is not an integer in range. (CODEC-1, CODEC-2, CODEC-4)
    fn float(&mut self) -> Result<Value, CodecError> {
        let at = self.at;
        let fault = |fault| Err(CodecError { at, fault });
        let width = 1usize << (self.bytes[at] - 0xf8);
        self.at += 1;
        let bits = self.take(width as u64)?.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let number = match width {
            2 => half_to_f64(bits as u16),
            4 => f64::from(f32::from_bits(bits as u32)),
            _ => f64::from_bits(bits),
        };
        if !number.is_finite() || number == 0.0 && number.is_sign_negative() {
            return fault(Fault::FloatDomain);
        }
        match Value::number(number) {
            Some(Value::Int(_)) | None => fault(Fault::FloatIsInteger),
            Some(_) if shortest_width(number) < width => fault(Fault::LongFloat),
            Some(value) => Ok(value),
        }
    }

    /// Passes one item of any kind, strictly, and returns its bytes. Undefined is allowed in it.
    pub fn skip_item(&mut self) -> Result<&'a [u8], CodecError> {
        let start = self.at;
        self.skip(0)?;
        Ok(&self.bytes[start..self.at])
    }

    fn skip(&mut self, depth: usize) -> Result<(), CodecError> {
        if depth > DEPTH_MAX + MESSAGE_DEPTH {
            return self.fault(Fault::Depth);
        }
        match self.peek()? {
            Major::Uint | Major::Nint => self.int().map(drop),
            Major::Bytes => self.bytes().map(drop),
            Major::Text => self.text().map(drop),
            Major::Tag => self.fault(Fault::Tag),
            Major::Simple if (0xf9..=0xfb).contains(&self.bytes[self.at]) => self.float().map(drop),
            Major::Simple => self.simple().map(drop),
            Major::Array => {
                for _ in 0..self.array()? {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            Major::Map => {
                let mut before: &[u8] = &[];
                for _ in 0..self.map()? {
                    let start = self.at;
                    self.skip(depth + 1)?;
                    let key = &self.bytes[start..self.at];
                    // CODEC-5: no key is empty, so that the first passes.
                    if key <= before {
                        return Err(CodecError { at: start, fault: Fault::KeyOrder });
                    }
                    before = key;
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
        }
    }

    /// Nothing may be left. (CODEC-11)
    pub fn end(&self) -> Result<(), CodecError> {
        if self.is_end() { Ok(()) } else { self.fault(Fault::Trailing) }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The argument of an item's head, in its shortest form. (CODEC-1, CODEC-6)
    fn head(&mut self, major: Major, expected: &'static str) -> Result<u64, CodecError> {
        let at = self.at;
        let found = self.peek()?;
        if found == Major::Tag {
            return self.fault(Fault::Tag);
        }
        if found != major {
            // A fault of the encoding is met before one of the schema.
            self.clone().skip(0)?;
            return self.fault(Fault::Schema(expected));
        }
        let info = self.bytes[at] & 0x1f;
        self.at += 1;
        let width = match info {
            0..=23 => return Ok(u64::from(info)),
            24..=27 => 1usize << (info - 24),
            31 if matches!(major, Major::Uint | Major::Nint) => return Err(CodecError { at, fault: Fault::Truncated }),
            31 => return Err(CodecError { at, fault: Fault::Indefinite }),
            _ => return Err(CodecError { at, fault: Fault::Truncated }),
        };
        let argument = self.take(width as u64)?.iter().fold(0u64, |argument, byte| argument << 8 | u64::from(*byte));
        let least = if width == 1 { 24 } else { 1 << (width * 4) };
        if argument < least {
            return Err(CodecError { at, fault: Fault::LongInteger });
        }
        Ok(argument)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CodecError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => self.fault(Fault::Truncated),
        }
    }
}

fn in_range(at: usize, argument: u64) -> Result<u64, CodecError> {
    if argument > INT_MAX as u64 {
        return Err(CodecError { at, fault: Fault::IntegerRange });
    }
    Ok(argument)
}

/// Writes items one after another, in the one encoding.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A non-negative integer.
    pub fn uint(&mut self, number: u64) {
        self.head(0, number);
    }

    /// An integer.
    pub fn int(&mut self, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.head(0, number),
            Err(_) => self.head(1, number.unsigned_abs() - 1),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The head of an array of `items`.
    pub fn array(&mut self, items: usize) {
        self.head(4, items as u64);
    }

    /// The head of a map of `pairs`; the caller writes them in key order.
    pub fn map(&mut self, pairs: usize) {
        self.head(5, pairs as u64);
    }

    /// A boolean.
    pub fn bool(&mut self, truth: bool) {
        self.bytes.push(if truth { TRUE } else { FALSE });
    }

    /// Null.
    pub fn null(&mut self) {
        self.bytes.push(NULL);
    }

    /// Undefined: an unset field.
    pub fn undefined(&mut self) {
        self.bytes.push(UNDEFINED);
    }

    /// A value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Bool(truth) => self.bool(*truth),
            Value::Int(number) => self.int(*number),
            Value::Float(number) => self.float(number.get()),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Text(text) => self.text(text),
            Value::Array(items) => {
                self.array(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Map(map) => {
                self.map(map.pairs().len());
                for (key, value) in map.pairs() {
                    self.text(key);
                    self.value(value);
                }
            }
        }
    }

    /// Bytes that are already in the one encoding.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn float(&mut self, number: f64) {
        match shortest_width(number) {
            2 => {
                self.bytes.push(0xf9);
                self.bytes.extend(f64_to_half(number).unwrap_or_default().to_be_bytes());
            }
            4 => {
                self.bytes.push(0xfa);
                self.bytes.extend((number as f32).to_be_bytes());
            }
            _ => {
                self.bytes.push(0xfb);
                self.bytes.extend(number.to_be_bytes());
            }
        }
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.bytes.push(major | argument as u8),
            24..=0xff => self.bytes.extend([major | 24, argument as u8]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend((argument as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend((argument as u32).to_be_bytes());
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend(argument.to_be_bytes());
            }
        }
    }
}

impl Value {
    /// The value's encoding.
    pub fn encoded(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(self);
        writer.finish()
    }
}

/// Bytes of the shortest float that holds the number exactly.
fn shortest_width(number: f64) -> usize {
    if f64_to_half(number).is_some() {
        2
    } else if f64::from(number as f32) == number {
        4
    } else {
        8
    }
}

fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    }
}

/// The half-precision float that is exactly this number, if there is one.
fn f64_to_half(number: f64) -> Option<u16> {
    let sign = if number.is_sign_negative() { 0x8000 } else { 0 };
    let size = number.abs();
    if !(2f64.powi(-24)..=65504.0).contains(&size) {
        return None;
    }
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(-14);
    let scaled = size * 2f64.powi(10 - exponent);
    if scaled.fract() != 0.0 {
        return None;
    }
    let scaled = scaled as u16;
    // A subnormal has no hidden bit.
    let bits = if scaled < 1024 { scaled } else { ((exponent + 15) as u16) << 10 | (scaled - 1024) };
    Some(sign | bits)
}
