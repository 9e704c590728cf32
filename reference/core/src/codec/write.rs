//! Writing items.

use super::float::{f64_to_half, shortest_width};
use super::{FALSE, NULL, TRUE, UNDEFINED};
use crate::fault;
use crate::value::Value;

/// Writes items one after another, in the one encoding.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer that holds so many bytes before it grows.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

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
        if fault::is("codec-writes-long") && argument < 24 {
            return self.bytes.extend([major | 24, argument as u8]);
        }
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
