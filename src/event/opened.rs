//! Bodies that a source says are compressed: opened in memory, under a cap.
//!
//! Nothing is guessed: a body is opened because its source says so, and one that isn't what the source says is refused. At
//! most `opened_bytes_max` bytes are ever held, whatever a body claims or unfolds to; a zstd frame that asks for a larger
//! window than [`WINDOW_BYTES_MAX`] or that cap is refused before anything is allocated for it. Several gzip members or
//! zstd frames in a row are one body; dictionaries and skippable frames are not supported.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::decode::Refusal;

/// Common encoders ask for no larger window.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How bodies are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

/// Opens one body after another, reusing its buffers.
#[derive(Default)]
pub struct Opener {
    opened: Vec<u8>,
    zstd: Option<Box<FrameDecoder>>,
}

impl Opener {
    /// The body as its format wants it; borrowed from `payload` if it isn't wrapped.
    pub fn open<'a>(
        &'a mut self,
        compression: Compression,
        payload: &'a [u8],
        bytes_max: usize,
    ) -> Result<&'a [u8], Refusal> {
        self.opened.clear();
        match compression {
            Compression::None => return Ok(payload),
            Compression::Gzip => gunzip(payload, bytes_max, &mut self.opened)?,
            Compression::Zstd => {
                let decoder = self.zstd.get_or_insert_with(|| Box::new(FrameDecoder::new()));
                unzstd(decoder, payload, bytes_max, &mut self.opened)?;
            }
        }
        if self.opened.len() > bytes_max {
            return Err(Refusal::OpensTooLarge { bytes_max });
        }
        Ok(&self.opened)
    }
}

/// One byte more than `bytes_max` shows that it is too large.
fn gunzip(payload: &[u8], bytes_max: usize, into: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut reader = MultiGzDecoder::new(payload).take(bytes_max as u64 + 1);
    reader.read_to_end(into).map_err(|_| Refusal::NotCompressed("gzip"))?;
    Ok(())
}

fn unzstd(decoder: &mut FrameDecoder, payload: &[u8], bytes_max: usize, into: &mut Vec<u8>) -> Result<(), Refusal> {
    const REFUSED: Refusal = Refusal::NotCompressed("zstd");
    let mut rest = payload;
    loop {
        if window(rest).ok_or(REFUSED)? > WINDOW_BYTES_MAX.max(bytes_max as u64) {
            return Err(Refusal::OpensTooLarge { bytes_max });
        }
        decoder.reset(&mut rest).map_err(|_| REFUSED)?;
        let room = bytes_max - into.len().min(bytes_max);
        decoder.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(room + 1)).map_err(|_| REFUSED)?;
        if !decoder.is_finished() {
            return Err(Refusal::OpensTooLarge { bytes_max });
        }
        decoder.collect_to_writer(&mut *into).map_err(|_| REFUSED)?;
        if rest.is_empty() || into.len() > bytes_max {
            return Ok(());
        }
    }
}

/// The window that a frame's header asks for (RFC 8878, 3.1.1.1).
fn window(frame: &[u8]) -> Option<u64> {
    const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    let header = frame.strip_prefix(&MAGIC)?;
    let descriptor = *header.first()?;
    if descriptor & 0b10_0000 == 0 {
        let window = *header.get(1)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content.
    let id_bytes = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let size = header.get(1 + id_bytes..1 + id_bytes + size_bytes)?;
    let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    Some(if size_bytes == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("a Vec takes everything");
        encoder.finish().expect("a Vec takes everything")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn open(compression: Compression, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        Opener::default().open(compression, payload, bytes_max).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_body_is_opened_as_its_source_says() {
        let (once, twice) = (b"{\"a\":1}".to_vec(), b"{\"a\":1}{\"a\":1}".to_vec());
        assert_eq!(open(Compression::None, &once, 1), Ok(once.clone()), "an unwrapped body has its own cap");
        for (compression, wrapped) in [(Compression::Gzip, gzip(&once)), (Compression::Zstd, zstd(&once))] {
            assert_eq!(open(compression, &wrapped, 100), Ok(once.clone()), "{compression:?}");
            assert_eq!(open(compression, &wrapped.repeat(2), 100), Ok(twice.clone()), "{compression:?}");
        }
    }

    #[test]
    fn what_unfolds_beyond_the_cap_is_refused_and_never_held() {
        let bomb = vec![b' '; 4 << 20];
        for (compression, wrapped) in [(Compression::Gzip, gzip(&bomb)), (Compression::Zstd, zstd(&bomb))] {
            assert!(wrapped.len() < 100_000);
            let mut opener = Opener::default();
            let refusal = opener.open(compression, &wrapped, 1000).map(<[u8]>::len);
            assert_eq!(refusal, Err(Refusal::OpensTooLarge { bytes_max: 1000 }), "{compression:?}");
            assert!(opener.opened.capacity() < 1 << 20, "{compression:?}: {}", opener.opened.capacity());
        }
    }

    #[test]
    fn a_window_of_gigabytes_is_refused_by_its_header() {
        let greedy = [0x28, 0xB5, 0x2F, 0xFD, 0, 0b1111_1000, 1, 0, 0];
        assert_eq!(open(Compression::Zstd, &greedy, 1000), Err(Refusal::OpensTooLarge { bytes_max: 1000 }));
    }

    #[test]
    fn what_is_not_what_the_source_says_is_refused() {
        for payload in [&b"{}"[..], b"", b"\x1f\x8b", b"\x28\xB5\x2F\xFD", b"\x28\xB5\x2F\xFD\x20"] {
            assert_eq!(open(Compression::Gzip, payload, 100), Err(Refusal::NotCompressed("gzip")), "{payload:?}");
            assert_eq!(open(Compression::Zstd, payload, 100), Err(Refusal::NotCompressed("zstd")), "{payload:?}");
        }
    }
}
