//! Alice, Bob and Mallory, a folder they share, and the log and envelopes that a seeder would carry between them.

use cobox_core::keys::{DeviceSecret, FolderKeys, HpkeSecret, Profile, RootSecret, Slot};
use cobox_core::members::{
    Author, Founding, FoundingRandom, InviteCode, InviteRandom, Label, NewEpoch, OpenedEpochs, Seat, Terms, found,
    invite_labelled, join, mint_epoch, open_epochs, propose, seal_in_turn, witness,
};
use cobox_proto::id::OpId;
use cobox_proto::members::{Added, Envelope, FolderKind, Log, OpBody, Policy, Role, Roster, SignedOp, resolve};

/// A person with one device.
pub(crate) struct Person {
    pub(crate) root: RootSecret,
    pub(crate) slot: Slot,
    pub(crate) device: DeviceSecret,
    /// What admitted them; zero before.
    pub(crate) grant: OpId,
    pub(crate) keys: Option<FolderKeys>,
}

impl Person {
    pub(crate) fn new(number: u8) -> Self {
        let root = RootSecret::from_entropy([number; 16]);
        let (slot, device) = (root.slot(1), DeviceSecret::from_seed(&[number; 32]));
        Self { root, slot, device, grant: OpId::ZERO, keys: None }
    }
    pub(crate) fn author(&self) -> Author<'_> {
        Author { grant: self.grant, key: &self.device.sig }
    }
    pub(crate) fn keys(&self) -> &FolderKeys {
        self.keys.as_ref().expect("has opened the folder")
    }
    /// Where they decide from, by this roster.
    pub(crate) fn seat<'a>(&'a self, folder: &'a Folder, roster: &'a Roster) -> Seat<'a> {
        Seat { log: &folder.log, roster, keys: self.keys.as_ref(), device: &self.device.sig, sealing: seal_in_turn }
    }
}

/// What everybody sees.
pub(crate) struct Folder {
    pub(crate) log: Log,
    pub(crate) envelopes: Vec<Envelope>,
    random: u8,
}

impl Folder {
    /// Alice founds it.
    pub(crate) fn founded_by(alice: &mut Person) -> Self {
        let founding = Founding {
            kind: FolderKind::Folder,
            slot: &alice.slot,
            device: &alice.device,
            profile: Profile::Cdc,
            high_privacy: false,
            policy: Policy::default(),
        };
        let random = FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] };
        let founded = found(founding, &random).unwrap();
        alice.grant = founded.log.genesis().op_id();
        alice.keys = Some(founded.keys);
        Self { log: founded.log, envelopes: founded.epoch.envelopes, random: 100 }
    }

    /// Different at each call, the same in each run.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        self.random += 1;
        [self.random; N]
    }

    pub(crate) fn roster(&self) -> Roster {
        resolve(&self.log)
    }

    /// Adds an op and says whether it stands.
    pub(crate) fn add(&mut self, op: SignedOp) -> bool {
        let id = op.id();
        assert!(matches!(self.log.add(op), Ok(Added::New(_))));
        self.roster().accepted(&id)
    }

    /// Someone makes an op that must stand.
    #[track_caller]
    pub(crate) fn does(&mut self, who: &Person, body: OpBody) -> OpId {
        let op = propose(&self.log, who.author(), body).unwrap();
        let id = op.id();
        assert!(self.add(op), "the op must stand: {:?}", self.log.refusal(&id));
        id
    }

    /// Someone invites.
    pub(crate) fn invites(&mut self, who: &Person, grant: bool) -> InviteCode {
        let terms = Terms { role: Role::Editor, max_uses: 1, expires_ms: 1000, grant };
        let random = InviteRandom { seed: self.random(), encapsulation: self.random() };
        let (roster, keys) = (self.roster(), who.keys());
        // Who waits to be let in finds in the label what to seal a name with.
        let epoch = roster.writable_epoch().filter(|_| !grant);
        let label = epoch.map(|epoch| Label { keys, epoch: epoch.tag(), text: "Choir" });
        let made = invite_labelled(&self.log, &roster, keys, who.author(), terms, vec![], label, &random).unwrap();
        for op in made.ops {
            assert!(self.add(op));
        }
        self.envelopes.extend(made.envelopes);
        made.code
    }

    /// Someone joins by a code, with a name if the code opens the keys; `by` witnesses.
    pub(crate) fn joins(&mut self, who: &mut Person, code: &InviteCode, name: &str, by: &Person) {
        who.keys = self.opens(&[&code.secret().hpke], None).keys;
        let epoch = self.roster().writable_epoch().map(|id| id.tag());
        let label = who.keys.as_ref().zip(epoch).map(|(keys, epoch)| Label { keys, epoch, text: name });
        let op = join(&self.log, code, &who.slot, &who.device, label).unwrap();
        who.grant = op.id();
        assert!(!self.add(op), "a join waits for its witness");
        let op = witness(&self.log, by.author(), who.grant, 500).unwrap();
        assert!(self.add(op));
        assert!(self.roster().can_write(&who.device.sig.public()));
    }

    pub(crate) fn opens(&self, secrets: &[&HpkeSecret], known: Option<FolderKeys>) -> OpenedEpochs {
        open_epochs(&self.log, &self.roster(), &self.envelopes, secrets, known)
    }

    /// Someone takes in what the log gives them now.
    pub(crate) fn refreshes(&self, who: &mut Person) {
        who.keys = self.opens(&[&who.device.hpke], who.keys.take()).keys;
    }

    /// Someone starts an epoch.
    pub(crate) fn rotates(&mut self, who: &mut Person) -> NewEpoch {
        let random = self.random();
        let mut keys = who.keys.take().expect("has opened the folder");
        let params = FolderKeys::params_for(keys.profile(), false);
        let epoch = mint_epoch(&self.log, &self.roster(), &mut keys, who.author(), params, &random).unwrap();
        who.keys = Some(keys);
        assert!(self.add(epoch.op.clone()), "the epoch must stand");
        self.envelopes.extend(epoch.envelopes.clone());
        epoch
    }
}
