//! The verb `vectors`: one case, by the core's own code (conformance/vectors/README.md).

use serde_json::{Value as Json, json};
use syncline::change::Pushed;
use syncline::clock::{Clock, Now, Reading, Replica};
use syncline::codec::{Major, Reader, Writer};
use syncline::hash::start_link;
use syncline::message::{decode_frame, encode_frame};
use syncline::registry::{Code, Profiles};

use crate::Answer;
use crate::states;
use crate::values::{hex, unhex};

/// Why a case cannot be computed.
pub type Fault = Box<dyn std::error::Error>;

/// Answers one case.
pub fn answer(command: &Json) -> Answer {
    let given = unhex(command["hex"].as_str().ok_or("`hex` is missing")?)?;
    match command["kind"].as_str().unwrap_or("") {
        "value" => Ok(value(&given)),
        "frame" => Ok(frame(&given, Profiles::CORE)),
        "frame-agreed" => Ok(frame(&given, Profiles::OFFERED)),
        "link" => computed(&given, links),
        "clock" => computed(&given, clock),
        "merge" => computed(&given, states::merge),
        "join" => computed(&given, states::join),
        "admit" => computed(&given, states::admit),
        "fingerprint" => computed(&given, states::fingerprint),
        _ => Ok(json!({"error": "unknown-kind"})),
    }
}

/// What a computation writes of what it reads.
fn computed(given: &[u8], compute: fn(&mut Reader, &mut Writer) -> Result<(), Fault>) -> Answer {
    let (mut reader, mut writer) = (Reader::new(given), Writer::default());
    compute(&mut reader, &mut writer).map_err(|fault| format!("the case: {fault}"))?;
    Ok(json!({"hex": hex(&writer.finish())}))
}

fn frame(given: &[u8], agreed: Profiles) -> Json {
    match decode_frame(given, agreed, |_| 0) {
        Ok(frame) => json!({"hex": hex(&encode_frame(frame.channel, &frame.messages, 0))}),
        Err(error) => json!({"error": error.code.name()}),
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

fn links(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let space = reader.text()?;
    let replica = Replica(reader.bytes()?.try_into()?);
    let base = reader.uint()?;
    let count = reader.array()?;
    let mut link = start_link(space, replica);
    writer.array(count + 1);
    writer.bytes(&link.0);
    for _ in 0..count {
        link = link.next(match Pushed::read(reader, base, true)? {
            Pushed::Change { change, .. } => change.hash(),
            Pushed::Skip { hash, .. } => hash,
        });
        writer.bytes(&link.0);
    }
    Ok(())
}

fn clock(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let at = |ms: u64| Now { wall_ms: ms, mono_ms: ms };
    match reader.text()? {
        "mint" => {
            let mut clock = Clock::new(reading(reader)?, 0);
            write(writer, clock.mint(at(reader.uint()?)));
        }
        "observe" => {
            let mut clock = Clock::new(reading(reader)?, 0);
            let now = at(reader.uint()?);
            clock.observe(now, reading(reader)?);
            write(writer, clock.last());
        }
        _ => {
            let (sent, received, server) = (reader.uint()?, reader.uint()?, reader.uint()?);
            let mut clock = Clock::new(Reading::ZERO, 0);
            if clock.correct(at(sent), at(received), server) { writer.int(clock.offset_ms()) } else { writer.null() }
        }
    }
    Ok(())
}

/// Reads milliseconds, or `[milliseconds, counter]`.
pub fn reading(reader: &mut Reader) -> Result<Reading, Fault> {
    let paired = reader.peek()? == Major::Array;
    let (ms, counter) = if paired {
        reader.array()?;
        (reader.uint()?, u16::try_from(reader.uint()?)?)
    } else {
        (reader.uint()?, 0)
    };
    Reading::new(ms, counter).ok_or_else(|| "a reading out of its range".into())
}

/// Writes a reading in the same form.
pub fn write(writer: &mut Writer, reading: Reading) {
    if reading.counter() == 0 {
        return writer.uint(reading.ms());
    }
    writer.array(2);
    writer.uint(reading.ms());
    writer.uint(u64::from(reading.counter()));
}
