//! What people paste and type: codes, twelve words, names and paths.

use std::str::FromStr;

use cobox_core::keys::phrase::Words;
use cobox_core::keys::{ContactKey, RootSecret};
use cobox_core::members::{InviteText, SpokenCode};
use cobox_core::path::{FolderPath, Name};
use cobox_proto::codec::Canonical;
use cobox_proto::hosting::{Offer, Ticket};
use cobox_proto::id::FolderId;
use cobox_proto::text::{self, KINDS};

/// Every kind of code: as text, and as the bytes behind the letters with a true checksum.
pub(crate) fn codes(bytes: &[u8]) {
    read(&String::from_utf8_lossy(bytes));
    for (prefix, _) in KINDS {
        let text = text::write(prefix, bytes);
        assert_eq!(text::read(prefix, &text).as_deref(), Ok(bytes));
        read(&text);
    }
}

fn read(text: &str) {
    if let Ok(ticket) = Ticket::from_text(text) {
        assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket.clone()));
        assert_eq!(Ticket::from_bytes(&ticket.to_bytes()).as_ref(), Ok(&ticket));
        ticket.addresses.iter().for_each(|address| {
            address.socket();
        });
    }
    if let Ok(offer) = Offer::from_text(text) {
        assert_eq!(Offer::from_bytes(&offer.to_bytes()), Ok(offer));
    }
    if let Ok(contact) = ContactKey::from_str(text) {
        assert_eq!(ContactKey::from_str(&contact.to_string()).as_ref(), Ok(&contact));
    }
    match InviteText::from_str(text) {
        Ok(InviteText::Code(code)) => {
            assert_eq!(InviteText::from_str(&code.to_text()), Ok(InviteText::Code(code.clone())));
            code.tickets.iter().for_each(|ticket| drop(Ticket::from_bytes(ticket)));
        }
        Ok(InviteText::Sealed(sealed)) => {
            let contact = RootSecret::from_entropy([7; 16]).contact();
            assert!(sealed.open(&contact).is_err(), "nobody sealed this to them");
        }
        Err(_) => {}
    }
    let _ = FolderId::from_str(text);
}

/// Twelve words as typed; what is accepted is these words.
pub(crate) fn words(bytes: &[u8]) {
    let read = |typed: &str| {
        if let Ok(words) = Words::parse(typed) {
            let again = Words::from_entropy(&words.entropy());
            assert_eq!(*again.to_text(), *words.to_text());
            assert!(Words::parse(&words.to_text()).is_ok());
        }
    };
    read(&String::from_utf8_lossy(bytes));
    if let Ok(said) = SpokenCode::from_str(&String::from_utf8_lossy(bytes)) {
        assert_eq!(SpokenCode::from_str(&said.to_text()), Ok(said));
    }
    if let Some((entropy, rest)) = bytes.split_first_chunk::<16>() {
        let text = Words::from_entropy(entropy).to_text();
        let mut typed: Vec<&str> = text.split(' ').collect();
        assert_eq!(Words::parse(&text).map(|words| *words.entropy()), Ok(*entropy));
        if let [a, b, ..] = rest {
            typed.swap(usize::from(*a) % 12, usize::from(*b) % 12);
        }
        read(&typed.join(" "));
    }
}

/// Names and paths: nothing that leaves the folder, names something else than it says, or is a name in one place only.
pub(crate) fn path(bytes: &[u8]) {
    if let Ok(name) = Name::from_bytes(bytes) {
        assert_eq!(name.to_bytes(), bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = Name::new(&text) {
        assert!(!name.as_str().contains(['/', '\0']) && !["", ".", "..", ".cobox"].contains(&name.as_str()));
        let key = name.comparison_key();
        if let Ok(folded) = Name::new(&key) {
            assert_eq!(folded.comparison_key(), key, "folding twice changes nothing");
        }
        // What a disk may take for our own directory was refused.
        assert_ne!(&*key, ".cobox");
    }
    if let Ok(path) = FolderPath::parse(&text) {
        let names: Vec<Name> = path.iter().collect();
        assert_eq!(FolderPath::new(&names), path);
        assert_eq!((path.depth(), path.descent().count()), (names.len(), names.len()));
        let root = FolderPath::root();
        assert!(path.starts_with(&root) && path.starts_with(&path));
        if let (Some(parent), Some(name)) = (path.parent(), path.name()) {
            assert_eq!(parent.join(&name), path);
            assert_eq!(path.rebased(&parent, &root).as_ref().map(FolderPath::as_str), Some(name.as_str()));
        }
    }
}
