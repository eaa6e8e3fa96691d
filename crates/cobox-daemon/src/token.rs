//! Random texts: the API's token and the codes of login links.

use zeroize::Zeroizing;

/// 256 random bits as hex; wiped when dropped.
pub fn random_token() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes).expect("a system without randomness can not run anything that keeps secrets");
    Zeroizing::new(data_encoding::HEXLOWER.encode(&*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_alike() {
        let (a, b) = (random_token(), random_token());
        assert_eq!(a.len(), 64);
        assert_ne!(a, b);
    }
}
