//! The two values that JSON has no type for: moments and secrets.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// A moment, written as RFC 3339 in UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-22T14:00:00Z")]
pub struct Time(Timestamp);

impl Time {
    /// From milliseconds since 1970; what lies outside the years -9999 to 9999 becomes the nearest end.
    pub fn from_ms(ms: i64) -> Self {
        Self(Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX }))
    }

    /// Milliseconds since 1970.
    pub fn as_ms(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Now, by the machine's clock.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Recovery words: wiped when dropped, and printed as nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Secret(#[serde(with = "wiped")] pub Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

mod wiped {
    use super::{Deserialize, Deserializer, Serializer, Zeroizing};

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(d).map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_utc_to_the_second_and_read_back() {
        let time = Time::from_ms(1_795_356_000_999);
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-22T14:00:00Z\"");
        let read: Time = serde_json::from_str("\"2026-11-22T15:00:00+01:00\"").unwrap();
        assert_eq!(read.as_ms(), 1_795_356_000_000);
        assert!(serde_json::from_str::<Time>("\"tomorrow\"").is_err());
        assert!(Time::from_ms(i64::MAX) > Time::from_ms(0) && Time::from_ms(i64::MIN) < Time::from_ms(0));
    }

    #[test]
    fn a_secret_travels_but_does_not_print() {
        let words = Secret::from("abandon ability".to_string());
        assert!(!format!("{words:?}").contains("abandon"));
        assert_eq!(serde_json::to_string(&words).unwrap(), "\"abandon ability\"");
    }
}
