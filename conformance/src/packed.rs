//! Packed frames as the suite reads and writes them. Spec 24.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::cbor::{Item, decode_sequence};
use crate::checks::{code, code_of};
use crate::edn::print;
use crate::trouble::Trouble;

/// What a frame may take, and what is packed in it when it is unpacked.
const FRAME_BYTES_MAX: usize = 1_048_576;
const LEVEL: u8 = 6;

/// The messages of a frame, those of a `packed` in its place.
///
/// # Errors
/// A `packed` that breaks a rule. (PACK-2 to PACK-4)
pub fn unpacked(channel: u64, messages: Vec<Item>) -> Result<Vec<Item>, Trouble> {
    let Some(packed) = messages.iter().find(|message| code_of(message) == Some(code::PACKED)) else { return Ok(messages) };
    let found = |what: &str| format!("{what}: {}", print(packed).chars().take(200).collect::<String>());
    if channel == 0 || messages.len() > 1 {
        let got = found(if channel == 0 { "on channel 0" } else { "beside another message" });
        return Err(Trouble::broken("PACK-2", "a packed alone in its frame, on the channel of a space", got));
    }
    let [_, Item::Int(0), Item::Bytes(stream), ..] = packed.items() else {
        return Err(Trouble::broken("PACK-3", "the codec 0", print(packed)));
    };
    let mut bytes = vec![0; FRAME_BYTES_MAX - head_bytes(channel)];
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut DecompressorOxide::new(), stream, &mut bytes, 0, flags);
    match status {
        TINFLStatus::Done if read == stream.len() => bytes.truncate(written),
        TINFLStatus::HasMoreOutput => {
            let allowed = format!("a frame of at most {FRAME_BYTES_MAX} bytes when it is unpacked");
            return Err(Trouble::broken("PACK-4", allowed, found("more of them")));
        }
        _ => return Err(Trouble::broken("PACK-3", "one whole stream of DEFLATE", found(&format!("{} bytes, {read} read", stream.len())))),
    }
    let inner = decode_sequence(&bytes).map_err(|fault| {
        let rule = if fault.canonical_only { "CODEC-12" } else { "CODEC-13" };
        Trouble::broken(rule, "messages in the one encoding", found(&format!("packed, and {fault}")))
    })?;
    match inner.iter().find(|message| code_of(message) == Some(code::PACKED)) {
        Some(_) => Err(Trouble::broken("PACK-2", "no packed in a packed", found("one"))),
        None if inner.is_empty() => Err(Trouble::broken("FRAME-1", "at least one message", found("none"))),
        None => Ok(inner),
    }
}

/// The same, for people: messages as they stand where they do not unpack.
pub fn readable(items: Vec<Item>) -> Vec<Item> {
    let Some((Item::Int(channel), messages)) = items.split_first() else { return items };
    match unpacked(*channel as u64, messages.to_vec()) {
        Ok(unpacked) => std::iter::once(items[0].clone()).chain(unpacked).collect(),
        Err(_) => items,
    }
}

/// A stream of DEFLATE that stands for these bytes.
pub fn deflated(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, LEVEL)
}

fn head_bytes(channel: u64) -> usize {
    crate::cbor::encode(&Item::Int(i128::from(channel))).len()
}
