//! The verb `vectors`: one case, by the core's own code (conformance/vectors/README.md).

use serde_json::{Value as Json, json};
use syncline::change::Pushed;
use syncline::clock::{Clock, Now, Reading, Replica};
use syncline::codec::{CodecError, Reader, Writer};
use syncline::hash::start_link;
use syncline::message::{decode_frame, encode_frame};
use syncline::registry::Code;

use crate::Answer;
use crate::values::{hex, unhex};

/// Answers one case.
pub fn answer(command: &Json) -> Answer {
    let given = unhex(command["hex"].as_str().ok_or("`hex` is missing")?)?;
    let bad = |error: CodecError| format!("the case: {error:?}");
    match command["kind"].as_str().unwrap_or("") {
        "value" => Ok(value(&given)),
        "frame" => Ok(match decode_frame(&given, |_| 0) {
            Ok(frame) => json!({"hex": hex(&encode_frame(frame.channel, &frame.messages, 0))}),
            Err(error) => json!({"error": error.code.name()}),
        }),
        "link" => links(&given).map_err(bad),
        "clock" => clock(&given).map_err(bad),
        _ => Ok(json!({"error": "unknown-kind"})),
    }
}

fn value(given: &[u8]) -> Json {
    let mut reader = Reader::new(given);
    match reader.value(0).and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => {
            let mut writer = Writer::default();
            writer.value(&value);
            json!({"hex": hex(&writer.finish())})
        }
        Err(error) => {
            let code = if error.fault.canonical_only() { Code::NOT_CANONICAL } else { Code::MALFORMED };
            json!({"error": code.name()})
        }
    }
}

fn links(given: &[u8]) -> Result<Json, CodecError> {
    let mut reader = Reader::new(given);
    reader.array()?;
    let space = reader.text()?;
    let replica = Replica(reader.bytes()?.try_into().unwrap_or_default());
    let base = reader.uint()?;
    let count = reader.array()?;
    let mut link = start_link(space, replica);
    let mut writer = Writer::default();
    writer.array(count + 1);
    writer.bytes(&link.0);
    for _ in 0..count {
        link = link.next(match Pushed::read(&mut reader, base)? {
            Pushed::Change { change, .. } => change.hash(),
            Pushed::Skip { hash, .. } => hash,
        });
        writer.bytes(&link.0);
    }
    Ok(json!({"hex": hex(&writer.finish())}))
}

fn clock(given: &[u8]) -> Result<Json, CodecError> {
    let mut reader = Reader::new(given);
    reader.array()?;
    let mut writer = Writer::default();
    let at = |ms: u64| Now { wall_ms: ms, mono_ms: ms };
    match reader.text()? {
        "mint" => {
            let mut clock = Clock::new(reading(&mut reader)?, 0);
            write(&mut writer, clock.mint(at(reader.uint()?)));
        }
        "observe" => {
            let mut clock = Clock::new(reading(&mut reader)?, 0);
            let now = at(reader.uint()?);
            clock.observe(now, reading(&mut reader)?);
            write(&mut writer, clock.last());
        }
        _ => {
            let (sent, received, server) = (reader.uint()?, reader.uint()?, reader.uint()?);
            let mut clock = Clock::new(Reading::ZERO, 0);
            if clock.correct(at(sent), at(received), server) { writer.int(clock.offset_ms()) } else { writer.null() }
        }
    }
    Ok(json!({"hex": hex(&writer.finish())}))
}

fn reading(reader: &mut Reader) -> Result<Reading, CodecError> {
    let paired = reader.peek()? == syncline::codec::Major::Array;
    let (ms, counter) = if paired {
        reader.array()?;
        (reader.uint()?, reader.uint()?)
    } else {
        (reader.uint()?, 0)
    };
    Ok(Reading::new(ms, counter as u16).unwrap_or(Reading::ZERO))
}

fn write(writer: &mut Writer, reading: Reading) {
    if reading.counter() == 0 {
        return writer.uint(reading.ms());
    }
    writer.array(2);
    writer.uint(reading.ms());
    writer.uint(u64::from(reading.counter()));
}
