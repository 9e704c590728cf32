//! Frames on a byte stream: a length of 4 bytes, big-endian, then the frame. Spec 11. (BIND-7)

use std::io::{self, ErrorKind};

use syncline::limits::FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of the length before a frame.
const HEAD_BYTES: usize = 4;

/// Why no frame can be read.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// The length is above the limit; nothing of the frame was read.
    #[error("a frame of {found} bytes; allowed are {FRAME_BYTES_MAX}")]
    TooLarge {
        /// The length that was announced, in bytes.
        found: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended within a frame")]
    CutShort,
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Failed(io::Error),
}

/// Reads the next frame; none where the stream ended between two frames.
///
/// # Errors
/// A length above `frame_bytes_max`, or a stream that ends within a frame or fails.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, FramingError> {
    let mut head = [0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match stream.read(&mut head[filled..]).await.map_err(FramingError::Failed)? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(FramingError::CutShort),
            read => filled += read,
        }
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FramingError::TooLarge { found: length });
    }
    // It grows with what arrives, not with what was announced. (CODEC-14)
    let mut frame = Vec::new();
    stream.take(length as u64).read_to_end(&mut frame).await.map_err(FramingError::Failed)?;
    if frame.len() == length { Ok(Some(frame)) } else { Err(FramingError::CutShort) }
}

/// Writes a frame.
///
/// # Errors
/// The stream fails, or the frame is above `frame_bytes_max`.
pub async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("a frame of {} bytes", frame.len())))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of spec 11: the ping `0, [11, 7]`.
    const PING: [u8; 8] = [0, 0, 0, 4, 0x00, 0x82, 0x0b, 0x07];

    async fn read_all(mut bytes: &[u8]) -> (Vec<Vec<u8>>, Option<FramingError>) {
        let mut frames = Vec::new();
        loop {
            match read_frame(&mut bytes).await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_come_back_as_they_were_written() {
        let mut stream = Vec::new();
        for frame in [&PING[4..], &[], &[0; 300]] {
            write_frame(&mut stream, frame).await.expect("a vector takes all");
        }
        assert_eq!(stream[..8], PING, "BIND-7");
        let (frames, error) = read_all(&stream).await;
        assert_eq!((frames, error.is_none()), (vec![PING[4..].to_vec(), vec![], vec![0; 300]], true));
    }

    #[tokio::test]
    async fn a_stream_cut_at_any_byte_gives_the_whole_frames_and_says_so() {
        let two = [PING, PING].concat();
        for cut in 0..=two.len() {
            let (frames, error) = read_all(&two[..cut]).await;
            assert_eq!(frames.len(), cut / PING.len(), "cut at {cut}");
            let within = cut % PING.len() != 0;
            assert_eq!(matches!(error, Some(FramingError::CutShort)), within, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_length_above_the_limit_is_refused_before_the_frame_is_read() {
        let at = u32::try_from(FRAME_BYTES_MAX).expect("a megabyte");
        for length in [at + 1, at * 10, u32::MAX] {
            let mut stream = tokio::io::BufReader::new(std::io::Cursor::new([length.to_be_bytes().to_vec(), vec![7; 9]].concat()));
            let error = read_frame(&mut stream).await.expect_err("too large");
            assert!(matches!(error, FramingError::TooLarge { found } if found == length as usize), "BIND-7: {error}");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("memory does not fail");
            assert_eq!(rest, [7; 9], "nothing of the frame was read");
        }
        assert!(write_frame(&mut Vec::new(), &vec![0; FRAME_BYTES_MAX + 1]).await.is_err());
        let mut largest = Vec::new();
        write_frame(&mut largest, &vec![1; FRAME_BYTES_MAX]).await.expect("the limit is allowed");
        assert_eq!(read_all(&largest).await.0[0].len(), FRAME_BYTES_MAX);
    }
}
