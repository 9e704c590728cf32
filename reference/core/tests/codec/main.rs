//! The one encoding, both ways, and everything that is refused. Spec 3.

mod given;

use given::{BASE_MS, frame, value};
use proptest::prelude::*;
use syncline::codec::{Fault, Reader};
use syncline::limits::{DEPTH_MAX, INT_MAX};
use syncline::message::{Frame, Message, WireError, decode_frame, encode_frame, frame_of, message_bytes};
use syncline::registry::Code;
use syncline::registry::Profiles;
use syncline::value::{Value, ValueMap};

fn decode_value(bytes: &[u8]) -> Result<Value, Fault> {
    let mut r = Reader::new(bytes);
    let read = r.value(0).and_then(|value| r.end().map(|()| value));
    read.map_err(|error| error.fault)
}

fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
    decode_frame(bytes, Profiles::RULES, |_| BASE_MS)
}

/// The frame, each message relative to the base that holds where it stands.
fn encode(frame: &Frame) -> Vec<u8> {
    let mut base_ms = BASE_MS;
    let mut messages = Vec::new();
    for message in &frame.messages {
        messages.extend(message_bytes(message, base_ms));
        if let Message::Opened(opened) = message {
            base_ms = opened.base_ms;
        }
    }
    frame_of(frame.channel, &messages)
}

fn unhex(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a test's hex")).collect()
}

/// Whether another implementation takes the bytes for one CBOR item after another.
fn ciborium_accepts(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if ciborium::from_reader::<ciborium::Value, _>(&mut bytes).is_err() {
            return false;
        }
    }
    true
}

/// The bytes with one of them changed, removed or doubled, or cut short.
fn damaged(mut bytes: Vec<u8>, at: usize, kind: u8, byte: u8) -> Vec<u8> {
    let at = at % bytes.len();
    match kind {
        0 => bytes[at] = byte,
        1 => bytes[at] ^= 1 << (byte % 8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, byte),
        _ => bytes.truncate(at),
    }
    bytes
}

/// What holds for any bytes: what is accepted is canonical CBOR.
fn check_value(bytes: &[u8]) {
    if let Ok(value) = decode_value(bytes) {
        assert_eq!(value.encoded(), bytes);
        assert!(ciborium_accepts(bytes), "{bytes:02x?}");
        assert!(value.depth() <= DEPTH_MAX);
    }
}

/// The same for frames, of which ignored extensions are left out when they are encoded again. (FRAME-2)
fn check_frame(bytes: &[u8]) {
    let Ok(frame) = decode(bytes) else { return };
    assert!(ciborium_accepts(bytes), "{bytes:02x?}");
    let again = encode(&frame);
    assert!(again == bytes || again.len() < bytes.len(), "{bytes:02x?} became {again:02x?}");
    assert_eq!(decode(&again), Ok(frame));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn values_come_back(value in value()) {
        prop_assert_eq!(decode_value(&value.encoded()), Ok(value));
    }

    #[test]
    fn values_are_written_as_another_implementation_writes_them(value in value()) {
        let bytes = value.encoded();
        let theirs: ciborium::Value = ciborium::from_reader(bytes.as_slice()).expect("it is CBOR");
        let mut again = Vec::new();
        ciborium::into_writer(&theirs, &mut again).expect("a vector takes everything");
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn values_are_totally_ordered(mut values in prop::collection::vec(value(), 3)) {
        values.sort();
        prop_assert!(values[0] <= values[1] && values[1] <= values[2] && values[0] <= values[2]);
        prop_assert_eq!(values[0].cmp(&values[1]).is_eq(), values[0] == values[1]);
    }

    #[test]
    fn frames_come_back(frame in frame()) {
        let bytes = encode(&frame);
        prop_assert!(ciborium_accepts(&bytes));
        prop_assert_eq!(&encode_frame(frame.channel, &frame.messages, BASE_MS), &bytes);
        prop_assert_eq!(decode(&bytes), Ok(frame));
    }

    #[test]
    fn no_bytes_make_a_value_that_is_written_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check_value(&bytes);
        check_frame(&bytes);
    }

    #[test]
    fn damaged_values_are_refused_or_canonical(value in value(), at: usize, kind in 0u8..5, byte: u8) {
        check_value(&damaged(value.encoded(), at, kind, byte));
    }

    #[test]
    fn damaged_frames_are_refused_or_canonical(frame in frame(), at: usize, kind in 0u8..5, byte: u8) {
        check_frame(&damaged(encode(&frame), at, kind, byte));
    }

    #[test]
    fn frames_cut_short_are_malformed(frame in frame(), at: usize) {
        let whole = encode(&Frame { messages: frame.messages[..1].to_vec(), ..frame });
        let cut = &whole[..at % whole.len()];
        prop_assert_eq!(decode(cut).map_err(|error| error.code), Err(Code::MALFORMED));
    }

    #[test]
    fn doubles_have_one_form(bits: u64) {
        check_value(&[[0xfb].as_slice(), &bits.to_be_bytes()].concat());
    }

    #[test]
    fn singles_have_one_form(bits: u32) {
        check_value(&[[0xfa].as_slice(), &bits.to_be_bytes()].concat());
    }
}

#[test]
fn every_half_is_refused_or_its_number() {
    for bits in 0..=u16::MAX {
        let bytes = [0xf9, (bits >> 8) as u8, bits as u8];
        check_value(&bytes);
        let theirs: f64 = ciborium::from_reader(bytes.as_slice()).expect("a half");
        let ours = match Value::number(theirs) {
            Some(Value::Float(float)) => Ok(Value::Float(float)),
            Some(_) if theirs != 0.0 || theirs.is_sign_positive() => Err(Fault::FloatIsInteger),
            _ => Err(Fault::FloatDomain),
        };
        assert_eq!(decode_value(&bytes), ours, "{bytes:02x?}");
    }
}

#[test]
fn the_first_fault_of_a_value_is_named() {
    let deep = "81".repeat(17) + "00";
    let check = |hex: &str, fault: Fault| assert_eq!(decode_value(&unhex(hex)), Err(fault), "{hex}");
    for hex in ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3800", "590001ff", "7801 61", "980100", "b80161 6100"] {
        check(hex, Fault::LongInteger);
    }
    check("1b0020000000000000", Fault::IntegerRange);
    check("3b001fffffffffffff", Fault::IntegerRange);
    check("f93c00", Fault::FloatIsInteger);
    check("fb433fffffffffffff", Fault::FloatIsInteger);
    check("fa3fc00000", Fault::LongFloat);
    check("fb3ff8000000000000", Fault::LongFloat);
    for hex in ["f98000", "f97c00", "f9fc00", "f97e00", "fa7f800000", "fb7ff8000000000001"] {
        check(hex, Fault::FloatDomain);
    }
    for hex in ["a2 6162 00 6161 00", "a2 6161 00 6161 01", "a2 626161 00 6162 00"] {
        check(hex, Fault::KeyOrder);
    }
    for hex in ["9f00ff", "bf616100ff", "7f6161ff", "5f4101ff"] {
        check(hex, Fault::Indefinite);
    }
    for hex in ["6180", "62c080", "63eda080", "64f4908080"] {
        check(hex, Fault::Utf8);
    }
    check("c100", Fault::Tag);
    check("c249010000000000000000", Fault::Tag);
    for hex in ["f7", "81f7", "e0", "f820", "f815"] {
        check(hex, Fault::Simple);
    }
    for hex in ["1c", "1f", "ff", "fc", "81ff"] {
        check(hex, Fault::Reserved);
    }
    check("a10000", Fault::KeyType);
    check("a1416100", Fault::KeyType);
    check("a1180000", Fault::LongInteger);
    check(&deep, Fault::Depth);
    for hex in ["", "19", "6261", "8200", "a16161", "f93c", "9affffffff", "9bffffffffffffffff", "7affffffff", "bbffffffffffffffff"] {
        check(hex, Fault::Truncated);
    }
    check("0000", Fault::Trailing);
    // The order of bytes decides.
    check("82 f7 1800", Fault::Simple);
    check("82 1800 f7", Fault::LongInteger);
    check("82 1800", Fault::LongInteger);
}

/// A push of one change of `t` `r` at reading 5, whose row goes on with this.
fn push_row(items: u8, rest: &str) -> String {
    format!("01 8205 83 01 05 {:02x} 82 6174 6172 {rest}", 0x80 + items)
}

#[test]
fn the_first_fault_of_a_frame_is_answered() {
    let check = |hex: &str, code: Code, detail: Option<u64>| {
        let found = decode_frame(&unhex(hex), Profiles::CORE, |_| 0).map_err(|error| (error.code, error.detail));
        assert_eq!(found.map(|_| ()), Err((code, detail)), "{hex}");
    };
    let malformed = |hex: &str| check(hex, Code::MALFORMED, None);
    let not_canonical = |hex: &str| check(hex, Code::NOT_CANONICAL, None);
    malformed("");
    malformed("00");
    malformed("00 80");
    malformed("1a00010000 8104");
    not_canonical("1800 8104");
    not_canonical("00 9f0b07ff");
    not_canonical("00 82180b07");
    malformed("00 820b20");
    malformed("00 820bf93e00");
    not_canonical("00 820bf93c00");
    // FRAME-4: the code is met before what follows it.
    check("00 821863 1800", Code::UNKNOWN_MESSAGE, Some(99));
    for code in 15..=20 {
        check(&format!("01 81{code:02x}"), Code::UNKNOWN_MESSAGE, Some(code));
    }
    // FRAME-2, FRAME-3, FRAME-6: the key is met before its value.
    check("00 830b07 a1 20 1800", Code::CRITICAL_EXTENSION, None);
    not_canonical("00 830b07 a1 05 1800");
    not_canonical("00 830b07 a2 06 01 05 01");
    malformed("00 830b07 a0");
    malformed("00 830b07 a1 6161 01");
    malformed("00 840b07 a1 05 01 a1 06 01");
    // Nothing recurses or reserves without end.
    malformed(&format!("00 830b07 a1 05 {}", "81".repeat(100_000)));
    malformed(&push_row(3, &format!("82 6161 03 {}", "81".repeat(100_000))));
    malformed("01 9bffffffffffffffff 05");
    // Rows. (MODEL-5 to MODEL-8, CLOCK-1, CLOCK-8)
    malformed(&push_row(3, "00 01"));
    malformed(&push_row(3, "00 00"));
    malformed(&push_row(5, "00 02 82 6161 00 01"));
    malformed(&push_row(5, "82 6162 00 01 82 6161 00 01"));
    malformed(&push_row(5, "82 6161 00 01 82 6161 00 01"));
    malformed(&push_row(3, "83 6161 00 04 01"));
    malformed(&push_row(3, "82 60 00 01"));
    malformed(&push_row(3, "82 6161 00 81f7"));
    not_canonical(&push_row(3, "82 6161 00 f93c00"));
    malformed(&push_row(3, "03 01"));
    malformed("01 8205 83 01 820500 81 82 6174 6172");
    malformed("01 8205 83 01 20 81 82 6174 6172");
    malformed("01 8205 84 01 05 81 82 6174 6172 a0");
    malformed("01 8205 84 01 05 81 82 6174 6173 81 82 6174 6172");
}

#[test]
fn what_is_not_a_fault_is_read() {
    let check = |hex: &str| assert!(decode_frame(&unhex(hex), Profiles::CORE, |_| 0).is_ok(), "{hex}");
    check(&push_row(3, "83 6161 00 05 01"));
    check(&push_row(3, "00 02"));
    check(&push_row(3, "82 6161 00 f7"));
    // A rule and a change key that are not known here are the server's to judge. (FRAME-7, FRAME-8)
    check(&push_row(3, "82 6161 03 01"));
    check("01 8205 84 01 05 81 82 6174 6172 a1 1863 f5");
    // The rows of an item of states stand in any order. Spec 8.
    let author = "50 000102030405060708090a0b0c0d0e0f";
    check(&format!("01 8509f502 480001020304050607 84 {author} 05 81 82 6174 6173 81 82 6174 6172"));
    check("01 8509f502 480001020304050607 83 23 81 82 6174 6173 81 82 6174 6172");
}

#[test]
fn an_opened_sets_the_base_of_what_follows_it() {
    let opened = "87 03 00 480001020304050607 00 50 000102030405060708090a0b0c0d0e0f 1903e8 00";
    let change = "86 08 01 50 000102030405060708090a0b0c0d0e0f 01 05 81 82 6174 6172";
    let frame = decode_frame(&unhex(&format!("01 {opened} {change}")), Profiles::CORE, |_| 0).expect("a frame");
    let Message::Change(placed) = &frame.messages[1] else { panic!("a change follows") };
    assert_eq!(placed.change.reading.ms(), 1005);
}

#[test]
fn the_total_order_of_values_is_the_specs() {
    let text = |text: &str| Value::Text(text.into());
    let number = |number: f64| Value::number(number).expect("a test's number");
    let map = |pairs: &[(&str, i64)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::Int(*value))).collect();
        Value::Map(ValueMap::new(pairs).expect("a test's keys differ"))
    };
    let rising = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        number(-1e300),
        Value::Int(-INT_MAX),
        number(-0.5),
        Value::Int(0),
        number(0.5),
        Value::Int(1),
        Value::Int(INT_MAX),
        number(9_007_199_254_740_992.0),
        Value::Bytes(vec![]),
        Value::Bytes(vec![1]),
        Value::Bytes(vec![1, 0]),
        Value::Bytes(vec![2]),
        text(""),
        text("a"),
        text("aa"),
        text("b"),
        text("é"),
        Value::Array(vec![]),
        Value::Array(vec![Value::Null]),
        Value::Array(vec![Value::Null, Value::Null]),
        Value::Array(vec![Value::Int(0)]),
        map(&[]),
        map(&[("a", 1)]),
        map(&[("a", 1), ("b", 0)]),
        map(&[("a", 2)]),
        map(&[("b", 0)]),
    ];
    for (at, less) in rising.iter().enumerate() {
        assert!(rising[at + 1..].iter().all(|more| less.cmp(more).is_lt() && more.cmp(less).is_gt()), "{less:?}");
    }
}

#[test]
fn no_number_outside_the_domain_is_a_value() {
    // CODEC-15
    assert_eq!(Value::int(INT_MAX + 1), None);
    assert_eq!(Value::int(-INT_MAX - 1), None);
    assert!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().all(|number| Value::number(number).is_none()));
    assert_eq!(Value::number(-0.0), Some(Value::Int(0)));
    assert_eq!(Value::number(-3.0), Some(Value::Int(-3)));
    assert_eq!(ValueMap::new(vec![("a".into(), Value::Null), ("a".into(), Value::Null)]), None);
}
