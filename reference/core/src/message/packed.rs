//! Frames whose messages are compressed. Spec 24.

use std::borrow::Cow;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::read::{WireError, read_packed};
use super::write::frame_of;
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::limits::FRAME_BYTES_MAX;
use crate::registry::Profiles;

/// The code of `packed`.
pub(super) const PACKED: u64 = 20;
/// The codec DEFLATE without a header. (PACK-3)
const DEFLATE: u64 = 0;
/// Where the bytes saved by more work are a tenth of a percent for each tenth of time.
const LEVEL: u8 = 6;
/// Less is not worth the work.
const PACKED_BYTES_MIN: usize = 1024;
/// What packed bytes are first taken to stand for, in times their length; the room doubles where it is more.
const EXPECTED_RATIO: usize = 4;

/// The frame with what is packed in it unpacked; another as it is. (PACK-1)
///
/// # Errors
/// A `packed` that is not alone in its frame, stands on channel 0, is of another codec, is no whole stream, or unpacks to a frame above
/// `frame_bytes_max`. (PACK-2 to PACK-4)
pub fn unpack(frame: &[u8], profiles: Profiles) -> Result<Cow<'_, [u8]>, WireError> {
    let mut r = Reader::new(frame);
    let Some(channel) = r.uint().ok().filter(|_| profiles.has(Profiles::PACKED) && code(r.clone()) == Some(PACKED)) else {
        return Ok(Cow::Borrowed(frame));
    };
    let head = &frame[..r.position()];
    let (codec, bytes) = read_packed(&mut r)?;
    if !fault::is("packed-beside-others") {
        r.end()?;
    }
    if channel == 0 && !fault::is("packed-on-channel-0") {
        r.fault(Fault::Schema("a packed on the channel of a space"))?;
    }
    if codec != DEFLATE && !fault::is("packed-of-any-codec") {
        r.fault(Fault::Schema("a codec that the registry has"))?;
    }
    let room = if fault::is("packed-without-bound") { 64 * FRAME_BYTES_MAX } else { FRAME_BYTES_MAX - head.len() };
    if fault::is("packed-dropped") {
        return Ok(Cow::Owned([head, &[0x82, 0x0b, 0x00]].concat()));
    }
    let messages = inflate(bytes, room).map_err(|fault| CodecError { at: head.len(), fault })?;
    Ok(Cow::Owned([head, &messages].concat()))
}

/// A frame of messages that are encoded already, packed where that makes it shorter.
pub fn packed_frame(channel: u16, messages: &[u8]) -> Vec<u8> {
    let plain = frame_of(channel, messages);
    if messages.len() < PACKED_BYTES_MIN && !fault::is("mirror-packs-all") || channel == 0 {
        return plain;
    }
    let mut w = Writer::default();
    w.uint(u64::from(channel));
    w.array(3);
    w.uint(PACKED);
    w.uint(DEFLATE);
    w.bytes(&compress_to_vec(messages, LEVEL));
    let packed = w.finish();
    if packed.len() < plain.len() || fault::is("mirror-packs-all") { packed } else { plain }
}

/// The code of the message that begins here.
fn code(mut r: Reader) -> Option<u64> {
    r.array().and_then(|_| r.uint()).ok()
}

/// What a stream stands for: at most so many bytes. No more than these are ever held.
fn inflate(stream: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut state = Box::<DecompressorOxide>::default();
    let mut out = vec![0; (stream.len() * EXPECTED_RATIO).clamp(1, bytes_max)];
    let (mut read, mut written) = (0, 0);
    loop {
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, consumed, produced) = decompress(&mut state, &stream[read..], &mut out, written, flags);
        (read, written) = (read + consumed, written + produced);
        match status {
            TINFLStatus::Done if read == stream.len() || fault::is("packed-with-a-rest") => {
                out.truncate(written);
                return Ok(out);
            }
            TINFLStatus::HasMoreOutput if out.len() < bytes_max => out.resize((out.len() * 2).min(bytes_max), 0),
            TINFLStatus::HasMoreOutput => return Err(Fault::Schema("what fits a frame when it is unpacked")),
            _ => return Err(Fault::Schema("one whole stream of DEFLATE")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(frame: &[u8]) -> Result<Vec<u8>, WireError> {
        unpack(frame, Profiles::PACKED).map(Cow::into_owned)
    }

    /// PACK-1
    #[test]
    fn what_is_packed_comes_back() {
        for bytes in [1, 1_000, 4_096, 100_000, FRAME_BYTES_MAX - 1] {
            let messages: Vec<u8> = (0..bytes).map(|at| (at / 7 % 251) as u8).collect();
            let frame = packed_frame(1, &messages);
            assert_eq!(unpacked(&frame).as_deref(), Ok(&*frame_of(1, &messages)));
            assert_eq!(frame.len() < messages.len(), bytes >= PACKED_BYTES_MIN, "{bytes}");
        }
    }

    /// PACK-4
    #[test]
    fn what_unpacks_to_more_than_a_frame_is_refused() {
        let frame = packed_frame(1, &vec![0; FRAME_BYTES_MAX]);
        assert!(frame.len() < 2_000);
        assert!(unpacked(&frame).is_err_and(|error| error.text.contains("fits a frame")));
    }

    /// PACK-3
    #[test]
    fn a_broken_stream_is_refused_wherever_it_breaks() {
        let frame = packed_frame(1, &[7; 2_000]);
        let stream = &frame[frame.len() - code_bytes(&frame)..];
        for end in 0..stream.len() {
            assert!(inflate(&stream[..end], FRAME_BYTES_MAX).is_err(), "cut at {end}");
        }
        assert!(inflate(&[stream, &[0]].concat(), FRAME_BYTES_MAX).is_err());
    }

    fn code_bytes(frame: &[u8]) -> usize {
        let mut r = Reader::new(&frame[1..]);
        read_packed(&mut r).expect("a packed").1.len()
    }
}
