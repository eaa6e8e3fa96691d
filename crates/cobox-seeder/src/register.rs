//! What this seeder has offered and whom it hosts: small records beside those of the folders, all in memory too. An offer is bound to
//! a folder in the transaction that makes the folder hosted, so that no power cut leaves one without the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use cobox_proto::codec::{Canonical, DecodeError, Reader, Writer};
use cobox_proto::hosting::{Offer, Promise, Ticket};
use cobox_proto::id::{EndpointId, FolderId, OfferId, OpId, SigKey};
use cobox_proto::limits::LABEL_BYTES_MAX;
use cobox_proto::wire::Party;
use cobox_store::{FolderStore, StoreError};

const RECORD_VERSION: u8 = 1;

/// An offer as it is remembered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OfferRecord {
    pub(crate) id: OfferId,
    pub(crate) secret: [u8; 16],
    /// For whom, as the operator calls them.
    pub(crate) label: String,
    pub(crate) space_bytes: u64,
    pub(crate) keep_days: u32,
    pub(crate) expires_ms: u64,
    /// The folder it is bound to.
    pub(crate) used_by: Option<FolderId>,
}

impl OfferRecord {
    /// As claims are judged by; it is not handed out any more, so it names no address.
    pub(crate) fn to_offer(&self, seeder: SigKey) -> Offer {
        Offer {
            seeder,
            ticket: Ticket { party: Party::Seeder, endpoint: EndpointId::ZERO, addresses: vec![] },
            id: self.id,
            secret: self.secret,
            quota_bytes: self.space_bytes,
            keep_days: self.keep_days,
            expires_ms: self.expires_ms,
        }
    }
}

/// Why a folder is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An offer was claimed for it.
    Offer(OfferId),
    /// It is the vault of a member of a hosted folder.
    Vault {
        /// That folder.
        beside: FolderId,
        /// The member's grant there.
        member: OpId,
    },
}

/// A hosted folder as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosting {
    pub(crate) folder: FolderId,
    pub(crate) label: String,
    pub(crate) since_ms: u64,
    pub(crate) source: Source,
}

impl Canonical for OfferRecord {
    fn encode(&self, w: &mut Writer) {
        w.u8(RECORD_VERSION).put(&self.id).fixed(&self.secret).text(&self.label);
        w.u64(self.space_bytes).u32(self.keep_days).u64(self.expires_ms).option(self.used_by.as_ref());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(r)?;
        Ok(Self {
            id: r.get()?,
            secret: r.fixed()?,
            label: r.text(LABEL_BYTES_MAX, "label")?.into(),
            space_bytes: r.u64()?,
            keep_days: r.u32()?,
            expires_ms: r.u64()?,
            used_by: r.option("used by")?,
        })
    }
}

impl Canonical for Hosting {
    fn encode(&self, w: &mut Writer) {
        w.u8(RECORD_VERSION).put(&self.folder).text(&self.label).u64(self.since_ms);
        match &self.source {
            Source::Offer(offer) => w.u8(1).put(offer),
            Source::Vault { beside, member } => w.u8(2).put(beside).put(member),
        };
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(r)?;
        let (folder, label, since_ms) = (r.get()?, r.text(LABEL_BYTES_MAX, "label")?.into(), r.u64()?);
        let source = match r.u8()? {
            1 => Source::Offer(r.get()?),
            2 => Source::Vault { beside: r.get()?, member: r.get()? },
            other => return Err(DecodeError::BadValue { what: "source", found: other.into() }),
        };
        Ok(Self { folder, label, since_ms, source })
    }
}

fn version(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    match r.u8()? {
        RECORD_VERSION => Ok(()),
        found => Err(DecodeError::UnknownVersion { what: "record", found: found.into() }),
    }
}

/// See the module's text.
pub(crate) struct Register {
    store: Arc<FolderStore>,
    offers: BTreeMap<OfferId, OfferRecord>,
    hosted: BTreeMap<FolderId, Hosting>,
}

impl Register {
    /// Reads what was kept.
    pub(crate) fn open(store: Arc<FolderStore>) -> Result<Self, StoreError> {
        let offers = read::<OfferRecord>(&store, "offer/")?.into_iter().map(|offer| (offer.id, offer)).collect();
        let hosted = read::<Hosting>(&store, "hosted/")?.into_iter().map(|hosting| (hosting.folder, hosting)).collect();
        Ok(Self { store, offers, hosted })
    }

    pub(crate) fn offer(&self, id: &OfferId) -> Option<&OfferRecord> {
        self.offers.get(id)
    }
    pub(crate) fn offers(&self) -> impl Iterator<Item = &OfferRecord> {
        self.offers.values()
    }
    pub(crate) fn hosting(&self, folder: &FolderId) -> Option<&Hosting> {
        self.hosted.get(folder)
    }
    pub(crate) fn hosted(&self) -> impl Iterator<Item = &Hosting> {
        self.hosted.values()
    }
    /// What was promised to a hosted folder.
    pub(crate) fn promise(&self, folder: &FolderId, seeder: SigKey) -> Promise {
        if self.hosted.get(folder).is_some_and(|hosting| matches!(hosting.source, Source::Vault { .. })) {
            return Promise::Vault;
        }
        let bound = self.offers.values().filter(|offer| offer.used_by == Some(*folder));
        let offers: Vec<Offer> = bound.map(|offer| offer.to_offer(seeder)).collect();
        Promise::of(folder, &offers)
    }
    /// The vaults of the members of a folder.
    pub(crate) fn vaults_beside(&self, folder: &FolderId) -> Vec<(FolderId, OpId)> {
        let vault = |hosting: &Hosting| match hosting.source {
            Source::Vault { beside, member } if beside == *folder => Some((hosting.folder, member)),
            _ => None,
        };
        self.hosted.values().filter_map(vault).collect()
    }

    pub(crate) fn add_offer(&mut self, offer: OfferRecord) -> Result<(), StoreError> {
        self.store.put_value(&FolderId::ZERO, &offer_key(&offer.id), &offer.to_bytes())?;
        self.offers.insert(offer.id, offer);
        Ok(())
    }

    /// Makes a folder hosted and binds the offer it came by. A folder that is hosted already stays as it is.
    pub(crate) fn host(&mut self, hosting: Hosting, offer: Option<OfferId>) -> Result<(), StoreError> {
        let folder = hosting.folder;
        let hosting = self.hosted.get(&folder).cloned().unwrap_or(hosting);
        let offer = offer.and_then(|id| self.offers.get(&id).cloned());
        let offer = offer.map(|offer| OfferRecord { used_by: Some(folder), ..offer });
        self.store.write(&FolderId::ZERO, |batch| {
            if let Some(offer) = &offer {
                batch.put_value(&offer_key(&offer.id), &offer.to_bytes())?;
            }
            batch.put_value(&hosted_key(&folder), &hosting.to_bytes())
        })?;
        self.hosted.insert(folder, hosting);
        self.offers.extend(offer.map(|offer| (offer.id, offer)));
        Ok(())
    }

    /// Forgets folders with the offers bound to them; these can not be used again.
    pub(crate) fn forget(&mut self, folders: &[FolderId]) -> Result<(), StoreError> {
        let bound = |offer: &OfferRecord| offer.used_by.is_some_and(|folder| folders.contains(&folder));
        self.store.write(&FolderId::ZERO, |batch| {
            for offer in self.offers.values().filter(|offer| bound(offer)) {
                batch.delete_value(&offer_key(&offer.id))?;
            }
            folders.iter().try_for_each(|folder| batch.delete_value(&hosted_key(folder)))
        })?;
        self.offers.retain(|_, offer| !bound(offer));
        self.hosted.retain(|folder, _| !folders.contains(folder));
        Ok(())
    }
}

fn read<T: Canonical>(store: &FolderStore, prefix: &str) -> Result<Vec<T>, StoreError> {
    let readable = |(key, bytes): (String, Vec<u8>)| {
        let read = T::from_bytes(&bytes);
        read.inspect_err(|error| tracing::error!(key, %error, "a record can not be read; it is left alone")).ok()
    };
    Ok(store.values(&FolderId::ZERO, prefix)?.into_iter().filter_map(readable).collect())
}

fn offer_key(id: &OfferId) -> String {
    format!("offer/{id}")
}

fn hosted_key(id: &FolderId) -> String {
    format!("hosted/{id}")
}
