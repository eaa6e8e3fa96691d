//! What a first QUIC packet tells everybody who sees it pass: it is encrypted, but under a key that stands in the packet itself, so that
//! the name asked for (SNI) and the protocol (ALPN) are as good as in the clear (RFC 9001, 5.2).

use std::collections::BTreeMap;

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Version;
use rustls::{Side, SupportedCipherSuite};

/// The first byte of an Initial packet, but for the bits that are masked.
const INITIAL: u8 = 0b1100_0000;
const TYPE_MASK: u8 = 0b1111_0000;
const QUIC_V1: [u8; 4] = [0, 0, 0, 1];
/// What a packet number takes at most.
const NUMBER_BYTES_MAX: usize = 4;

/// A dialer's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Whom it asks for.
    pub server_name: String,
    /// In which protocols.
    pub protocols: Vec<Vec<u8>>,
    /// All of it.
    pub whole: Vec<u8>,
}

impl Hello {
    /// All that are in these datagrams, whatever else is.
    pub fn all<'a>(datagrams: impl IntoIterator<Item = &'a [u8]>) -> Vec<Self> {
        // By connection; a message may fill more than one datagram, and come twice.
        let mut parts: BTreeMap<Vec<u8>, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        for datagram in datagrams {
            if let Some((id, frames)) = opened(datagram) {
                crypto(&frames, parts.entry(id).or_default());
            }
        }
        parts.values().filter_map(|parts| Self::read(&joined(parts))).collect()
    }

    fn read(message: &[u8]) -> Option<Self> {
        let mut rest = Bytes(message);
        let (kind, length) = (rest.take(1)?[0], rest.number(3)?);
        let whole = rest.take(length)?;
        let mut rest = Bytes(whole);
        rest.take(2 + 32)?;
        for bytes in [1, 2, 1] {
            let length = rest.number(bytes)?;
            rest.take(length)?;
        }
        let length = rest.number(2)?;
        let mut extensions = Bytes(rest.take(length)?);
        let mut hello = Self { server_name: String::new(), protocols: Vec::new(), whole: whole.to_vec() };
        while let Some(extension) = extensions.number(2) {
            let length = extensions.number(2)?;
            let mut inside = Bytes(extensions.take(length)?);
            match extension {
                0 => {
                    inside.take(3)?;
                    let length = inside.number(2)?;
                    hello.server_name = String::from_utf8_lossy(inside.take(length)?).into_owned();
                }
                16 => {
                    inside.take(2)?;
                    while let Some(length) = inside.number(1) {
                        hello.protocols.push(inside.take(length)?.to_vec());
                    }
                }
                _ => {}
            }
        }
        (kind == 1).then_some(hello)
    }
}

/// The connection's first id and the frames of a dialer's Initial packet, if this is one.
fn opened(datagram: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut rest = Bytes(datagram);
    let first = rest.take(1)?[0];
    if first & TYPE_MASK != INITIAL || rest.take(4)? != QUIC_V1 {
        return None;
    }
    let length = rest.number(1)?;
    let id = rest.take(length)?.to_vec();
    let length = rest.number(1)?;
    rest.take(length)?;
    let length = rest.varint()?;
    rest.take(length as usize)?;
    let length = rest.varint()? as usize;
    let number_at = datagram.len() - rest.0.len();
    let mut packet = datagram.get(..number_at.checked_add(length)?)?.to_vec();
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { return None };
    let keys = suite.quic_suite()?.keys(&id, Side::Server, Version::V1).remote;
    let sample_at = number_at + NUMBER_BYTES_MAX;
    let sample = packet.get(sample_at..sample_at + keys.header.sample_len())?.to_vec();
    let (header, number) = packet.split_at_mut(number_at);
    keys.header.decrypt_in_place(&sample, &mut header[0], &mut number[..NUMBER_BYTES_MAX]).ok()?;
    let payload_at = number_at + usize::from(packet[0] & 3) + 1;
    let number = packet[number_at..payload_at].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (header, payload) = packet.split_at_mut(payload_at);
    let frames = keys.packet.decrypt_in_place(number, header, payload).ok()?.to_vec();
    Some((id, frames))
}

/// Puts the pieces of the message into place. Ends at a frame that a first packet does not have.
fn crypto(frames: &[u8], parts: &mut BTreeMap<u64, Vec<u8>>) -> Option<()> {
    let mut rest = Bytes(frames);
    loop {
        match rest.take(1)?[0] {
            0 | 1 => {}
            6 => {
                let (at, length) = (rest.varint()?, rest.varint()?);
                parts.insert(at, rest.take(length as usize)?.to_vec());
            }
            _ => return None,
        }
    }
}

/// From the beginning as far as nothing is missing.
fn joined(parts: &BTreeMap<u64, Vec<u8>>) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::new();
    for (at, part) in parts {
        let known = whole.len() as u64;
        if *at > known {
            break;
        }
        whole.extend(part.iter().skip((known - at) as usize));
    }
    whole
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, the highest first.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A number as QUIC writes it.
    fn varint(&mut self) -> Option<u64> {
        let first = self.take(1)?[0];
        let rest = self.take((1 << (first >> 6)) - 1)?;
        Some(rest.iter().fold(u64::from(first & 0x3f), |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dialer's message as the library writes it, that asks for `name` in `protocols`.
    fn message(name: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
        let with_length = |inside: &[u8], bytes: usize| {
            let length = (inside.len() as u32).to_be_bytes();
            [&length[4 - bytes..], inside].concat()
        };
        let names = with_length(&[&[0][..], &with_length(name, 2)].concat(), 2);
        let list: Vec<u8> = protocols.iter().flat_map(|name| with_length(name, 1)).collect();
        let extensions =
            [&[0, 0][..], &with_length(&names, 2), &[0, 16], &with_length(&with_length(&list, 2), 2)].concat();
        let ciphers_and_so_on = [0, 0, 2, 19, 1, 1, 0];
        let inside = [&[3, 3][..], &[7; 32], &ciphers_and_so_on, &with_length(&extensions, 2)].concat();
        [&[1][..], &with_length(&inside, 3)].concat()
    }

    #[test]
    fn a_message_is_read_and_its_every_piece_refused() {
        let message = message(b"name.example", &[b"cobox/1", b"other"]);
        let hello = Hello::read(&message).unwrap();
        assert_eq!(hello.server_name, "name.example");
        assert_eq!(hello.protocols, [b"cobox/1".to_vec(), b"other".to_vec()]);
        assert!((0..message.len()).all(|end| Hello::read(&message[..end]).is_none()));
    }

    #[test]
    fn a_packet_that_was_sealed_is_opened_in_pieces_and_in_any_order() {
        let message = message(b"name.example", &[b"cobox/1"]);
        let (one, two) = message.split_at(40);
        let datagrams = [sealed(40, two, 3), sealed(0, one, 2), sealed(0, one, 2)];
        let hellos = Hello::all(datagrams.iter().map(Vec::as_slice));
        assert_eq!(hellos.len(), 1);
        assert_eq!(hellos[0].server_name, "name.example");
        let mut broken = sealed(0, &message, 2);
        *broken.last_mut().unwrap() ^= 1;
        assert!(Hello::all([&broken[..], b"", &[0xc0; 30]]).is_empty());
    }

    /// An Initial packet with a piece of a message at this place.
    fn sealed(at: u8, piece: &[u8], number: u8) -> Vec<u8> {
        let id = [9; 8];
        let mut frames = vec![0, 6, at, 0x40 | (piece.len() >> 8) as u8, piece.len() as u8];
        frames.extend(piece);
        frames.resize(frames.len() + 100, 0);
        let length = (1 + frames.len() + 16) as u16;
        let mut packet =
            [&[0xc0][..], &QUIC_V1, &[8], &id, &[0, 0], &(0x4000 | length).to_be_bytes(), &[number]].concat();
        let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { unreachable!() };
        let keys = suite.quic_suite().unwrap().keys(&id, Side::Client, Version::V1).local;
        let tag = keys.packet.encrypt_in_place(u64::from(number), &packet, &mut frames).unwrap();
        let number_at = packet.len() - 1;
        packet.extend(&frames);
        packet.extend(tag.as_ref());
        let sample = packet[number_at + 4..number_at + 20].to_vec();
        let (header, rest) = packet.split_at_mut(number_at);
        keys.header.encrypt_in_place(&sample, &mut header[0], &mut rest[..1]).unwrap();
        packet
    }
}
