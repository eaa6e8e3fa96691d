//! Codes people paste: CoBox keys, offers, tickets, invites. `prefix` + lower-case base32 of version, body and a 4-byte
//! checksum. Reading forgives spaces, line breaks, quotes, upper case and the look-alikes 0/o, 1/l, 8/b; it says which code was meant
//! when another kind was pasted, and whether a part is missing.

use crate::codec::{Canonical, DecodeError};

/// The kinds of codes and their prefixes. No prefix is the beginning of another.
pub const KINDS: [(&str, &str); 5] = [
    ("c1", "CoBox key"),
    ("cbo1", "hosting offer"),
    ("cbt1", "ticket"),
    ("cbi1", "invite code"),
    ("cbl1", "device link code"),
];

/// Why a pasted text is not the code it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing recognisable.
    #[error("this is not a {expected}; one begins with \"{prefix}\"")]
    NotThis {
        /// What was expected.
        expected: &'static str,
        /// How it begins.
        prefix: &'static str,
    },
    /// A code of another kind.
    #[error("this is a {found}, but a {expected} is needed here")]
    Other {
        /// What it is.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// Damaged or cut off.
    #[error("this {kind} is damaged or a part of it is missing; copy the whole of it again")]
    Damaged {
        /// What it should be.
        kind: &'static str,
    },
    /// Whole, but what it says can not be read.
    #[error("this {kind} can not be read: {source}")]
    Content {
        /// What it should be.
        kind: &'static str,
        /// Why.
        source: DecodeError,
    },
}

/// Writes a code.
pub fn write(prefix: &'static str, body: &[u8]) -> String {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&checksum(prefix, body));
    format!("{prefix}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// Writes a value as a code.
pub fn write_value<T: Canonical>(prefix: &'static str, value: &T) -> String {
    write(prefix, &value.to_bytes())
}

/// Reads the body of a code of the kind with this prefix.
pub fn read(prefix: &'static str, text: &str) -> Result<Vec<u8>, TextError> {
    let expected = KINDS.iter().find(|(p, _)| *p == prefix).map_or("code", |(_, name)| name);
    let clean: String = text.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let found = KINDS.iter().filter(|(p, _)| clean.starts_with(p)).max_by_key(|(p, _)| p.len());
    match found {
        None => return Err(TextError::NotThis { expected, prefix }),
        Some((p, found)) if *p != prefix => return Err(TextError::Other { found, expected }),
        Some(_) => {}
    }
    let damaged = TextError::Damaged { kind: expected };
    let letters: String = clean[prefix.len()..]
        .chars()
        .map(|c| match c {
            '0' => 'O',
            '1' => 'L',
            '8' => 'B',
            c => c.to_ascii_uppercase(),
        })
        .collect();
    let bytes = data_encoding::BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| damaged.clone())?;
    let Some(split) = bytes.len().checked_sub(4) else { return Err(damaged) };
    let (body, sum) = bytes.split_at(split);
    if checksum(prefix, body) != sum {
        return Err(damaged);
    }
    Ok(body.to_vec())
}

/// Reads a value.
pub fn read_value<T: Canonical>(prefix: &'static str, text: &str) -> Result<T, TextError> {
    let kind = KINDS.iter().find(|(p, _)| *p == prefix).map_or("code", |(_, name)| name);
    T::from_bytes(&read(prefix, text)?).map_err(|source| TextError::Content { kind, source })
}

fn checksum(prefix: &str, body: &[u8]) -> [u8; 4] {
    let mut h = blake3::Hasher::new_derive_key("cobox v1 text checksum");
    h.update(prefix.as_bytes()).update(body);
    let mut sum = [0; 4];
    sum.copy_from_slice(&h.finalize().as_bytes()[..4]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_pasted_codes_survive_mail_and_typing() {
        let code = write("cbo1", b"some offer bytes, long enough to wrap");
        let wrapped: String = code
            .chars()
            .enumerate()
            .flat_map(|(i, c)| if i % 20 == 19 { vec![c, '\n', ' '] } else { vec![c] })
            .collect();
        let shouted = format!("  \"{}\" ", wrapped.to_uppercase().replace('O', "0").replace('L', "1"));
        assert_eq!(read("cbo1", &code).unwrap(), b"some offer bytes, long enough to wrap");
        assert_eq!(read("cbo1", &shouted.replace("CB0", "CBO")).unwrap(), b"some offer bytes, long enough to wrap");
    }

    #[test]
    fn i1_every_cut_and_every_flipped_letter_is_pointed_out() {
        let code = write("cbt1", b"ticket");
        for cut in 0..code.len() {
            assert!(read("cbt1", &code[..cut]).is_err(), "cut at {cut}");
        }
        for i in 4..code.len() {
            for other in ['a', 'q', '7'] {
                let mut letters: Vec<char> = code.chars().collect();
                if letters[i] == other {
                    continue;
                }
                letters[i] = other;
                let damaged: String = letters.into_iter().collect();
                assert_eq!(read("cbt1", &damaged), Err(TextError::Damaged { kind: "ticket" }));
            }
        }
    }

    #[test]
    fn a_code_of_another_kind_is_named() {
        let ticket = write("cbt1", b"x");
        assert_eq!(read("cbo1", &ticket), Err(TextError::Other { found: "ticket", expected: "hosting offer" }));
        assert!(read("cbo1", "hello").unwrap_err().to_string().contains("cbo1"));
    }
}
