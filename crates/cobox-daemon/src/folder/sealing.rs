//! The envelopes of a new epoch, on as many processors as there are: one for each device, member and open invite, and each takes as long as
//! hundreds of blocks. They do not depend on each other.

use cobox_core::keys::EnvelopeError;
use cobox_core::members::{SealJob, seal_in_turn};
use cobox_proto::members::Envelope;

/// More processors are left to others.
const THREADS_MAX: usize = 8;
/// Fewer envelopes are made sooner than a thread is started for them (0.2 ms each; a thread takes some 0.05 ms).
const JOBS_EACH_MIN: usize = 4;

/// See the module.
pub(super) fn seal_on_all_cores(jobs: &[SealJob<'_>]) -> Vec<Result<Envelope, EnvelopeError>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    seal_on(processors.min(THREADS_MAX), jobs)
}

fn seal_on(threads: usize, jobs: &[SealJob<'_>]) -> Vec<Result<Envelope, EnvelopeError>> {
    let each = jobs.len().div_ceil(threads.max(1)).max(JOBS_EACH_MIN);
    let mut shares = jobs.chunks(each);
    // One share is this thread's own.
    let mine = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares.map(|share| scope.spawn(move || seal_in_turn(share))).collect();
        let mut sealed = seal_in_turn(mine);
        for other in others {
            match other.join() {
                Ok(share) => sealed.extend(share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sealed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cobox_core::keys::{DeviceSecret, FolderKeys, Profile, RootSecret};
    use cobox_core::members::{Author, Founding, FoundingRandom, Sealing, found, mint_epoch_by, propose};
    use cobox_proto::members::{FolderKind, OpBody, Policy, Role, resolve};

    #[test]
    fn an_epoch_is_the_same_on_one_processor_and_on_several() {
        let (slot, device) = (RootSecret::from_entropy([1; 16]).slot(1), DeviceSecret::from_seed(&[1; 32]));
        let (kind, profile, policy) = (FolderKind::Folder, Profile::Cdc, Policy::default());
        let founding = Founding { kind, slot: &slot, device: &device, profile, high_privacy: false, policy };
        let founded = found(founding, &FoundingRandom { nonce: [1; 32], shape: [2; 32], epoch: [3; 64] }).unwrap();
        let (mut log, founder) =
            (founded.log, Author { grant: founded.epoch.op.op().signers[0].grant, key: &device.sig });
        log.add(founded.epoch.op.clone()).unwrap();
        for n in 2..12 {
            let (member, device) = (RootSecret::from_entropy([n; 16]).slot(1), DeviceSecret::from_seed(&[n; 32]));
            let body = OpBody::Grant { member: member.public(), device: device.public(), role: Role::Reader };
            let op = propose(&log, founder, body).unwrap();
            log.add(op).unwrap();
        }
        let roster = resolve(&log);
        let minted = |sealing: Sealing| {
            let (mut keys, params) = (founded.keys.clone(), FolderKeys::params_for(profile, false));
            mint_epoch_by(sealing, &log, &roster, &mut keys, founder, params, &[9; 64]).unwrap()
        };
        let in_turn = minted(seal_in_turn);
        assert_eq!(in_turn.envelopes.len(), 22);
        for sealing in
            [seal_on_all_cores as Sealing, |jobs| seal_on(3, jobs), |jobs| seal_on(64, jobs), |jobs| seal_on(0, jobs)]
        {
            let minted = minted(sealing);
            assert_eq!((minted.envelopes, minted.op), (in_turn.envelopes.clone(), in_turn.op.clone()));
        }
    }
}
