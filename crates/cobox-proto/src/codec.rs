//! Canonical bytes. One value has exactly one encoding; whatever else decodes is refused. Integers are little-endian
//! fixed width or minimal LEB128 varints; byte strings and lists carry a varint length that is checked against a bound
//! *before* anything is allocated.

/// Why bytes are not what they should be. `what` names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("{what}: the data ends too early")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// Bytes are left over.
    #[error("{left} bytes too many at the end")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A length or count is over its bound.
    #[error("{what}: {found} is over the limit of {limit}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// What was claimed.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The bytes say the right thing in a second way (long varint, unsorted list, nonzero padding).
    #[error("{what}: not in canonical form")]
    NotCanonical {
        /// The field.
        what: &'static str,
    },
    /// A version byte this program does not know.
    #[error("{what}: version {found} is not known to this program; update cobox")]
    UnknownVersion {
        /// The object.
        what: &'static str,
        /// The version found.
        found: u16,
    },
    /// A value outside its range.
    #[error("{what}: {found} is not a valid value")]
    BadValue {
        /// The field.
        what: &'static str,
        /// The value found.
        found: u64,
    },
    /// A text is not valid UTF-8.
    #[error("{what}: not valid UTF-8")]
    NotUtf8 {
        /// The field.
        what: &'static str,
    },
}

/// A value with one canonical encoding.
pub trait Canonical: Sized {
    /// Appends the encoding.
    fn encode(&self, w: &mut Writer);
    /// Reads one value and nothing after it.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode(&mut w);
        w.into_bytes()
    }

    /// Decodes all of `bytes`; trailing bytes are refused.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}

/// Appends canonical bytes.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// One byte.
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.bytes.push(v);
        self
    }
    /// Two bytes, little-endian.
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.fixed(&v.to_le_bytes())
    }
    /// Four bytes, little-endian.
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.fixed(&v.to_le_bytes())
    }
    /// Eight bytes, little-endian.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.fixed(&v.to_le_bytes())
    }
    /// Eight bytes, little-endian, two's complement.
    pub fn i64(&mut self, v: i64) -> &mut Self {
        self.fixed(&v.to_le_bytes())
    }
    /// Minimal LEB128.
    pub fn varint(&mut self, mut v: u64) -> &mut Self {
        while v >= 0x80 {
            self.bytes.push((v as u8) | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
        self
    }
    /// 0 or 1.
    pub fn bool(&mut self, v: bool) -> &mut Self {
        self.u8(u8::from(v))
    }
    /// Bytes of a length both sides know.
    pub fn fixed(&mut self, v: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(v);
        self
    }
    /// Varint length, then the bytes.
    pub fn bytes(&mut self, v: &[u8]) -> &mut Self {
        self.varint(v.len() as u64).fixed(v)
    }
    /// A text, as its UTF-8 bytes.
    pub fn text(&mut self, v: &str) -> &mut Self {
        self.bytes(v.as_bytes())
    }
    /// Varint count, then the items.
    pub fn list<T: Canonical>(&mut self, items: &[T]) -> &mut Self {
        self.varint(items.len() as u64);
        for item in items {
            item.encode(self);
        }
        self
    }
    /// 0, or 1 and the value.
    pub fn option<T: Canonical>(&mut self, value: Option<&T>) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            value.encode(self);
        }
        self
    }
    /// One value.
    pub fn put<T: Canonical>(&mut self, value: &T) -> &mut Self {
        value.encode(self);
        self
    }
}

/// Reads canonical bytes; refuses everything else.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }
    /// Refuses trailing bytes.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { left }),
        }
    }
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        if n > self.left() {
            return Err(DecodeError::Truncated { what });
        }
        let slice = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(slice)
    }
    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let slice = &self.bytes[self.at..];
        self.at = self.bytes.len();
        slice
    }
    /// Exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, "fixed field")?);
        Ok(out)
    }
    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.fixed::<1>()?[0])
    }
    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.fixed()?))
    }
    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }
    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.fixed()?))
    }
    /// Minimal LEB128; a longer form of the same number is refused.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8().map_err(|_| DecodeError::Truncated { what: "varint" })?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::NotCanonical { what: "varint" });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::NotCanonical { what: "varint" });
                }
                return Ok(value);
            }
        }
        Err(DecodeError::NotCanonical { what: "varint" })
    }
    /// A varint at most `limit`.
    pub fn varint_max(&mut self, limit: u64, what: &'static str) -> Result<u64, DecodeError> {
        let found = self.varint()?;
        if found > limit {
            return Err(DecodeError::TooLarge { what, found, limit });
        }
        Ok(found)
    }
    /// 0 or 1.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::BadValue { what, found: other.into() }),
        }
    }
    /// A byte string of at most `limit` bytes.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let n = self.varint_max(limit as u64, what)?;
        self.take(n as usize, what)
    }
    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(limit, what)?).map_err(|_| DecodeError::NotUtf8 { what })
    }
    /// A list of at most `limit` items. The vector grows as items are really read, never by the claimed count alone.
    pub fn list<T: Canonical>(&mut self, limit: usize, what: &'static str) -> Result<Vec<T>, DecodeError> {
        let n = self.varint_max(limit as u64, what)? as usize;
        let mut items = Vec::with_capacity(n.min(self.left()));
        for _ in 0..n {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }
    /// A list that must be strictly increasing.
    pub fn sorted_list<T: Canonical + Ord>(&mut self, limit: usize, what: &'static str) -> Result<Vec<T>, DecodeError> {
        let items = self.list(limit, what)?;
        if items.windows(2).any(|pair: &[T]| pair[0] >= pair[1]) {
            return Err(DecodeError::NotCanonical { what });
        }
        Ok(items)
    }
    /// 0, or 1 and a value.
    pub fn option<T: Canonical>(&mut self, what: &'static str) -> Result<Option<T>, DecodeError> {
        if self.bool(what)? { Ok(Some(T::decode(self)?)) } else { Ok(None) }
    }
    /// One value.
    pub fn get<T: Canonical>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip_and_have_one_form(v: u64) {
            let mut w = Writer::new();
            w.varint(v);
            let bytes = w.into_bytes();
            let mut r = Reader::new(&bytes);
            prop_assert_eq!(r.varint().unwrap(), v);
            r.finish().unwrap();
            let mut longer = bytes.clone();
            *longer.last_mut().unwrap() |= 0x80;
            longer.push(0);
            prop_assert!(Reader::new(&longer).varint().is_err());
        }

        #[test]
        fn any_bytes_decode_to_themselves_or_not_at_all(bytes: Vec<u8>) {
            let mut r = Reader::new(&bytes);
            if let Ok(v) = r.varint() {
                let mut w = Writer::new();
                w.varint(v);
                prop_assert_eq!(w.as_slice(), &bytes[..r.position()]);
            }
        }
    }

    #[test]
    fn i3_a_claimed_length_is_checked_before_anything_is_allocated() {
        let mut w = Writer::new();
        w.varint(u64::MAX);
        let bytes = w.into_bytes();
        assert!(matches!(Reader::new(&bytes).bytes(10, "name"), Err(DecodeError::TooLarge { what: "name", .. })));
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(Reader::new(&huge).list::<crate::id::Cid>(usize::MAX, "cids").is_err());
    }
}
