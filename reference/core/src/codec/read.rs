//! Reading items strictly.

use super::float::{half_to_f64, shortest_width};
use super::{CodecError, FALSE, Fault, MAJORS, Major, NULL, TRUE, UNDEFINED};
use crate::fault;
use crate::limits::{DEPTH_MAX, INT_MAX};
use crate::value::{Value, ValueMap, key_order};

/// Levels that messages add around values.
const MESSAGE_DEPTH: usize = 8;

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
        let bytes = self.take(length)?;
        let checked = std::str::from_utf8(bytes).or_else(|error| if fault::is("codec-utf8-unchecked") { Ok("") } else { Err(error) });
        checked.map_err(|_| CodecError { at, fault: Fault::Utf8 })
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
            return self.other(Fault::Schema("a simple value"));
        }
        match self.bytes[self.at] {
            byte @ FALSE..=UNDEFINED => {
                self.at += 1;
                Ok(byte)
            }
            0xf9..=0xfb => self.other(Fault::Schema("a simple value")),
            0xfc..=0xff => self.fault(Fault::Reserved),
            _ => self.fault(Fault::Simple),
        }
    }

    /// A value; arrays and maps nest to `DEPTH_MAX`, of which `depth` levels are used already.
    pub fn value(&mut self, depth: usize) -> Result<Value, CodecError> {
        match self.peek()? {
            Major::Uint | Major::Nint => self.int().map(Value::Int),
            Major::Bytes => Ok(Value::Bytes(self.bytes()?.to_vec())),
            Major::Text => Ok(Value::Text(self.text()?.to_owned())),
            Major::Tag if fault::is("codec-tags-skipped") => self.head(Major::Tag, "a tag").and_then(|_| self.value(depth)),
            Major::Tag => self.fault(Fault::Tag),
            Major::Simple => self.simple_value(),
            Major::Array | Major::Map if depth >= DEPTH_MAX && !fault::is("codec-any-depth") => self.fault(Fault::Depth),
            Major::Array => {
                // CODEC-14: the claimed length reserves nothing.
                let mut array = Vec::new();
                for _ in 0..self.array()? {
                    array.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(array))
            }
            Major::Map => self.value_map(depth + 1).map(Value::Map),
        }
    }

    fn value_map(&mut self, depth: usize) -> Result<ValueMap, CodecError> {
        let mut read: Vec<(String, Value)> = Vec::new();
        for _ in 0..self.map()? {
            let at = self.at;
            if self.peek()? != Major::Text && fault::is("codec-keys-of-any-type") {
                self.skip_item()?;
                self.value(depth)?;
                continue;
            }
            if self.peek()? != Major::Text {
                return self.other(Fault::KeyType);
            }
            let key = self.text()?;
            if read
                .last()
                .is_some_and(|(before, _)| key_order(before, key).is_ge() && !(before != key && fault::is("codec-keys-in-any-order")))
            {
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
            if fault::is("codec-nan-is-null") {
                return Ok(Value::Null);
            }
            return fault(Fault::FloatDomain);
        }
        match Value::number(number) {
            Some(integer @ Value::Int(_)) if fault::is("codec-float-integers") => Ok(integer),
            Some(Value::Int(_)) | None => fault(Fault::FloatIsInteger),
            Some(_) if shortest_width(number) < width && !fault::is("codec-long-floats") => fault(Fault::LongFloat),
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
            Major::Simple if self.is_float() => self.float().map(drop),
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

    /// The argument of an item's head, in its shortest form. (CODEC-1, CODEC-6)
    fn head(&mut self, major: Major, expected: &'static str) -> Result<u64, CodecError> {
        let at = self.at;
        if self.peek()? != major {
            return self.other(Fault::Schema(expected));
        }
        let info = self.bytes[at] & 0x1f;
        self.at += 1;
        let width = match info {
            0..=23 => return Ok(u64::from(info)),
            24..=27 => 1usize << (info - 24),
            31 if fault::is("codec-indefinite-is-empty") => return Ok(0),
            31 if !matches!(major, Major::Uint | Major::Nint) => return Err(CodecError { at, fault: Fault::Indefinite }),
            _ => return Err(CodecError { at, fault: Fault::Reserved }),
        };
        let argument = self.take(width as u64)?.iter().fold(0u64, |argument, byte| argument << 8 | u64::from(*byte));
        let least = if width == 1 { 24 } else { 1 << (width * 4) };
        if argument < least && !fault::is("codec-long-integers") {
            return Err(CodecError { at, fault: Fault::LongInteger });
        }
        Ok(argument)
    }

    /// An item of another kind stands here: a fault of its own head is met first, then this one.
    fn other<T>(&self, fault: Fault) -> Result<T, CodecError> {
        let mut ahead = self.clone();
        match self.peek()? {
            Major::Uint | Major::Nint => ahead.int().map(drop)?,
            Major::Tag => return self.fault(Fault::Tag),
            Major::Simple if self.is_float() => ahead.float().map(drop)?,
            Major::Simple => ahead.simple().map(drop)?,
            major => ahead.head(major, "").map(drop)?,
        }
        self.fault(fault)
    }

    fn is_float(&self) -> bool {
        matches!(self.bytes.get(self.at), Some(0xf9..=0xfb))
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
    if argument > INT_MAX as u64 && !fault::is("codec-any-integer") {
        return Err(CodecError { at, fault: Fault::IntegerRange });
    }
    Ok(argument)
}
