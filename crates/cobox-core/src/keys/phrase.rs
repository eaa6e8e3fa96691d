//! Twelve words on paper for 128 bits (BIP-39, English list). Reading forgives case, spaces, line breaks, numbering and commas; it
//! says which words are wrong. The words' checksum has four bits, so one wrong word in sixteen passes: what the words open
//! is the last check.

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

/// How many words there are.
pub const WORDS: usize = 12;

/// Words that belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Words(Mnemonic);

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

/// Why typed words are not the twelve. Positions count from 1; the words themselves never stand in an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Some are not in the list.
    #[error("{} not in the word list; check the spelling", listed(.positions))]
    Unknown {
        /// Which.
        positions: Vec<usize>,
    },
    /// Too few or too many.
    #[error("there must be {WORDS} words, but {found} were given")]
    Count {
        /// How many were given.
        found: usize,
    },
    /// All are in the list, but not in this combination.
    #[error("the words do not belong together: one is wrong, or two are swapped{}", maybe_swapped(.swaps))]
    Checksum {
        /// Neighbours that may have been swapped: swapping them back makes the words fit.
        swaps: Vec<(usize, usize)>,
    },
}

fn listed(positions: &[usize]) -> String {
    let numbers: Vec<String> = positions.iter().map(usize::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("word {one} is"),
        many => format!("words {} are", many.join(", ")),
    }
}

fn maybe_swapped(swaps: &[(usize, usize)]) -> String {
    let pairs: Vec<String> = swaps.iter().map(|(a, b)| format!("{a} and {b}")).collect();
    if pairs.is_empty() { String::new() } else { format!(" (perhaps {})", pairs.join(", or ")) }
}

/// A word of the list, for 11 bits that are no secret.
pub(crate) fn listed_word(number: usize) -> &'static str {
    let list = Language::English.word_list();
    list[number % list.len()]
}

/// The number of a word of the list, in lower case; none for other words.
pub(crate) fn listed_number(word: &str) -> Option<u16> {
    Language::English.find_word(word)
}

impl Words {
    /// For 16 secret bytes.
    pub fn from_entropy(entropy: &[u8; 16]) -> Self {
        Self(Mnemonic::from_entropy_in(Language::English, entropy).expect("128 bits are twelve words"))
    }

    /// Reads what a person typed.
    pub fn parse(typed: &str) -> Result<Self, PhraseError> {
        let lower = Zeroizing::new(typed.to_lowercase());
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
        let unknown = |word: &&str| Language::English.find_word(word).is_none();
        let positions: Vec<usize> =
            words.iter().enumerate().filter(|(_, word)| unknown(word)).map(|(at, _)| at + 1).collect();
        if !positions.is_empty() {
            return Err(PhraseError::Unknown { positions });
        }
        if words.len() != WORDS {
            return Err(PhraseError::Count { found: words.len() });
        }
        fitting(&words).ok_or_else(|| {
            let swaps = (1..WORDS).filter(|at| {
                let mut swapped = words.clone();
                swapped.swap(at - 1, *at);
                fitting(&swapped).is_some()
            });
            PhraseError::Checksum { swaps: swaps.map(|at| (at, at + 1)).collect() }
        })
    }

    /// The secret bytes.
    pub fn entropy(&self) -> Zeroizing<[u8; 16]> {
        let (bytes, len) = self.0.to_entropy_array();
        let bytes = Zeroizing::new(bytes);
        debug_assert_eq!(len, 16, "twelve words are 128 bits");
        let mut entropy = Zeroizing::new([0; 16]);
        entropy.copy_from_slice(&bytes[..16]);
        entropy
    }

    /// The words in order.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.words()
    }

    /// The words with single spaces between.
    pub fn to_text(&self) -> Zeroizing<String> {
        joined(self.0.words())
    }
}

fn fitting(words: &[&str]) -> Option<Words> {
    let text = joined(words.iter().copied());
    Mnemonic::parse_in_normalized(Language::English, &text).ok().map(Words)
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> Zeroizing<String> {
    // No word has more than 8 letters; with room for all, growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn known_words_are_known_bytes() {
        // A vector of the BIP-39 reference implementation.
        assert_eq!(*Words::parse(KNOWN).unwrap().entropy(), [0x7f; 16]);
        assert_eq!(*Words::from_entropy(&[0x7f; 16]).to_text(), KNOWN);
    }

    #[test]
    fn i7_case_spaces_numbering_and_line_breaks_are_forgiven() {
        let numbered: String =
            KNOWN.split(' ').enumerate().map(|(i, word)| format!("{}. {}\r\n", i + 1, word.to_uppercase())).collect();
        for typed in [numbered, format!("  {} ", KNOWN.replace(' ', "\t  ")), KNOWN.replace(' ', ", ")] {
            assert_eq!(Words::parse(&typed).unwrap().entropy(), Words::parse(KNOWN).unwrap().entropy());
        }
    }

    #[test]
    fn i6_missing_and_misspelt_words_are_named_by_position() {
        assert_eq!(Words::parse(""), Err(PhraseError::Count { found: 0 }));
        assert_eq!(Words::parse(&KNOWN[..KNOWN.len() - 7]), Err(PhraseError::Count { found: 11 }));
        assert_eq!(Words::parse(&format!("{KNOWN} legal")), Err(PhraseError::Count { found: 13 }));
        let misspelt = KNOWN.replace("thank year", "thanks yeer");
        let error = Words::parse(&misspelt).unwrap_err();
        assert_eq!(error, PhraseError::Unknown { positions: vec![3, 4] });
        assert_eq!(error.to_string(), "words 3, 4 are not in the word list; check the spelling");
        assert!(!error.to_string().contains("yeer"));
        for cut in 1..KNOWN.len() {
            assert!(Words::parse(&KNOWN[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn i6_one_wrong_word_shows_but_for_one_in_sixteen() {
        let words: Vec<&str> = KNOWN.split(' ').collect();
        let mut passed = 0;
        for other in Language::English.word_list() {
            let mut typed = words.clone();
            typed[5] = other;
            match Words::parse(&typed.join(" ")) {
                Ok(_) => passed += 1,
                Err(error) => assert!(matches!(error, PhraseError::Checksum { .. })),
            }
        }
        assert!((64..=192).contains(&passed), "{passed} of 2048");
    }

    #[test]
    fn i6_swapped_neighbours_are_guessed() {
        let entropy: [u8; 16] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let words = Words::from_entropy(&entropy);
        let mut told = 0;
        for at in 1..WORDS {
            let mut typed: Vec<&str> = words.iter().collect();
            typed.swap(at - 1, at);
            match Words::parse(&typed.join(" ")) {
                Err(PhraseError::Checksum { swaps }) => {
                    assert!(swaps.contains(&(at, at + 1)));
                    told += 1;
                }
                other => assert!(other.is_ok(), "only an unlucky checksum hides a swap"),
            }
        }
        assert!(told >= 7, "{told} of 11");
    }

    #[test]
    fn words_print_as_nothing() {
        assert_eq!(format!("{:?}", Words::parse(KNOWN)), "Ok(Words)");
    }
}
