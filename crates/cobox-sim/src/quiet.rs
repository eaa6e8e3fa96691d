//! The end of a storm: all faults end, everybody meets, and when nothing is left to do the oracles judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cobox_core::engine::{Engine, Input, Stat, same_time};
use cobox_core::path::FolderPath;

use cobox_proto::head::SignedHead;
use cobox_proto::hosting::Holding;
use cobox_proto::id::{Cid, EpochTag, HeadId};

use crate::disk::{Bytes, Disk, Node};
use crate::host::Host;
use crate::links::HOSTS_FROM;
use crate::member::Member;
use crate::world::World;

/// Steps of a quiet phase for each machine: what is nowhere any more is asked for now and then, by each of each.
const STEPS_EACH_MAX: usize = 20_000;
/// Timers that may ring in each round of a quiet phase; and as many again while somebody has something to say in a moment.
const TICKS_MAX: usize = 100;

/// How often what could not be written is tried again.
const STUCK_RETRY_MS: u64 = 15_000;
/// So often that is done also if nothing else is due.
const EARLY_RETRIES: usize = 5;
/// What is due later than that is not waited for where keys grow old.
const SOON_MS: u64 = 3_600_000;
/// How long it may take until all agree when everything is well again.
const QUIET_MS_MAX: u64 = 3_600_000;

impl World<'_> {
    /// Faults and edits stop, everybody meets; when nothing is left to do, nothing may be lost or differ.
    pub(crate) fn quiet(&mut self) -> Result<(), String> {
        self.note("quiet");
        self.nobody_is_broken()?;
        let begun_ms = self.now_ms;
        for member in 0..self.members.len() {
            self.members[member].stop_after = None;
            self.members[member].machine.recover();
            self.start_if_stopped(member);
            self.members[member].look_at(Vec::new());
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].recover();
            self.start_host_if_stopped(host);
        }
        self.connect_all();
        self.settle()?;
        if self.faults.membership {
            // Whoever was sent away meanwhile calls again.
            self.connect_all();
            self.settle()?;
        }
        self.nobody_is_broken()?;
        // What is nowhere any more is asked for now and then, for ever: rest is when no disk changes.
        let quiet_ms = self.changed_ms.saturating_sub(begun_ms);
        if self.faults.weather && quiet_ms > QUIET_MS_MAX {
            return Err(format!("O2: it took {} minutes to agree", quiet_ms / 60_000));
        }
        let waits = |member: &Member<'_>| !member.is_out() && !member.waits_for().is_empty();
        if self.content_may_lack() && self.members.iter().any(waits) {
            // Content that was published and fetched by nobody, and then lost with the disk that had it, or deleted there
            // while the program was stopped and could not tell why, or while it was ignored: nobody can end up equal.
            self.note("something is nowhere any more");
            if self.faults.older && !self.hosts.is_empty() {
                self.what_lies_whole_comes_back()?;
            }
            return Ok(());
        }
        self.all_know_who_belongs()?;
        self.members_agree()?;
        if self.faults.weather {
            self.times_agree()?;
        }
        self.note("all agree; once more");
        let (known, under) = (self.known_heads(), self.epochs_in_use());
        for member in 0..self.members.len() {
            self.members[member].look_at(Vec::new());
        }
        self.settle()?;
        // Keys that have grown old are new by themselves, and all is sealed under them once. Under keys in use there is nothing to say.
        let new = self.known_heads().into_iter().filter(|(id, epoch)| !known.contains_key(id) && under.contains(epoch));
        let new = new.count();
        if new > 0 {
            return Err(format!("O7: {new} heads were published although nothing had changed"));
        }
        self.members_agree()?;
        let left_out = self.members.iter().flat_map(Member::left_out).collect();
        let disks: Vec<(&Disk, BTreeSet<FolderPath>)> =
            self.members.iter().map(|member| (&member.durable.disk, member.ignored())).collect();
        // Whoever was sent away keeps what the others delete.
        let all_belong = self.seated().len() == self.members.len();
        self.ledger.deletions_hold = self.faults.calm && !self.may_lack && all_belong;
        let faults = &self.faults;
        let is_told_all = !faults.backups && !faults.stops && !faults.twins;
        let is_seen_right = !faults.sick_disks && !faults.listings_lie && !faults.late_reads;
        self.ledger.all_remember = is_told_all && is_seen_right && !self.may_lack;
        // Whoever was sent away in the middle of a move has some of their work among what is set aside.
        let gone = self.members.iter().filter(|member| member.is_out());
        self.ledger.may_be_aside(gone.flat_map(|member| member.durable.disk.kept_contents()).cloned());
        let waits = |member: &Member<'_>| member.live.as_ref().is_some_and(|live| live.engine.waits_for_heads());
        self.ledger.something_waits = self.members.iter().any(waits);
        let once_ignored: Vec<Bytes> =
            self.members.iter().flat_map(|member| &member.witness.once_ignored).cloned().collect();
        self.ledger.may_live(once_ignored);
        self.members.iter().for_each(|member| self.ledger.rested(&member.durable.disk, member.name));
        self.ledger.check(&disks, left_out)?;
        self.members.iter_mut().for_each(|member| member.witness.once_ignored.clear());
        self.moves_are_no_copies()?;
        self.hosts_have_all()?;
        if !self.hosts.is_empty() && !self.faults.ignores && self.dice.one_in(6) {
            self.somebody_comes_back_with_nothing()?;
        }
        Ok(())
    }

    /// What a machine saw that must never be.
    fn nobody_is_broken(&self) -> Result<(), String> {
        let of_hosts = self.hosts.iter().filter_map(|host| host.broken.clone());
        self.members
            .iter()
            .filter_map(|member| member.witness.broken.clone())
            .chain(of_hosts)
            .next()
            .map_or(Ok(()), Err)
    }

    fn connect_all(&mut self) {
        for a in 0..self.members.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
        for host in 0..self.hosts.len() {
            self.all_call(host);
        }
        self.tidy();
    }

    fn all_call(&mut self, host: usize) {
        for member in 0..self.members.len() {
            self.connect(member, HOSTS_FROM + host);
        }
    }

    /// O8 and O1 of seeders: each has all of the newest state and has said so, and has what it says that it has.
    fn hosts_have_all(&mut self) -> Result<(), String> {
        let Some(live) = &self.members[0].live else { return Ok(()) };
        let heads = live.replica.heads();
        self.hosts.iter_mut().try_for_each(Host::keeps_its_word)?;
        for host in &self.hosts {
            for id in heads.maximal().map(|head| head.id()).filter(|id| heads.counts(id)) {
                let is_receipted = live.replica.receipts().any(|signed| {
                    let receipt = signed.receipt();
                    receipt.seeder == host.who().key && receipt.head == id && receipt.holding == Holding::Complete
                });
                if !host.is_complete(&id) || !is_receipted {
                    let lacks = host.lacks(&id);
                    if self.content_may_lack() && lacks.iter().any(|cid| self.holders(cid).is_empty()) {
                        // Told to others by a machine that lost it right after.
                        continue;
                    }
                    let lacks: Vec<String> = lacks
                        .iter()
                        .map(|cid| {
                            let (of, holders) = (self.members[0].names_of(cid), self.holders(cid));
                            format!("{} of {of}, which {holders:?} have", cid.short())
                        })
                        .collect();
                    let is_complete = host.is_complete(&id);
                    return Err(format!(
                        "O8: {} does not have all of {} (complete: {is_complete}, receipted: {is_receipted}), it lacks {lacks:?}",
                        host.name,
                        id.short()
                    ));
                }
            }
        }
        Ok(())
    }

    /// All machines but the seeders' are gone; one person comes back with the keys alone, and gets everything.
    fn somebody_comes_back_with_nothing(&mut self) -> Result<(), String> {
        let before = show(&self.members[0]);
        let after = self.with_all_but_the_seeders_gone(|world| show(&world.members[0]))?;
        if before != after {
            return Err(format!("O1: from the seeders came back\n{after}instead of\n{before}"));
        }
        Ok(())
    }

    /// ... and gets whatever lies whole with one of them, also where something newer lies nowhere whole.
    fn what_lies_whole_comes_back(&mut self) -> Result<(), String> {
        self.with_all_but_the_seeders_gone(|world| {
            let Some(live) = &world.members[0].live else { return Ok(()) };
            let (heads, frontier) = (live.replica.heads(), live.engine.frontier());
            let is_whole = |id: &HeadId| world.hosts.iter().any(|host| host.is_complete(id));
            let is_joined = |id: &HeadId| frontier.iter().any(|top| heads.is_past_or_same(id, top));
            let whole = heads.iter().map(SignedHead::id).filter(|id| heads.counts(id) && is_whole(id));
            match whole.filter(|id| !is_joined(id)).last() {
                Some(id) => Err(format!("O1: {} lies whole with a seeder and did not come back", id.short())),
                None => Ok(()),
            }
        })?
    }

    fn with_all_but_the_seeders_gone<T>(&mut self, look: impl FnOnce(&Self) -> T) -> Result<T, String> {
        self.note("all but the seeders are gone; A comes back with nothing");
        self.close_all();
        let newcomer = Member::at(self.cast, self.members[0].ops, 0).with_a_log(self.faults.membership);
        let newcomer = newcomer.taking_older(self.faults.older);
        let gone = std::mem::replace(&mut self.members, vec![newcomer]);
        self.start_if_stopped(0);
        for host in 0..self.hosts.len() {
            self.all_call(host);
        }
        self.tidy();
        let seen = self.settle().map(|()| look(self));
        self.close_all();
        self.members = gone;
        seen
    }

    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let (mut steps, mut ticks, mut rounds) = (0, 0, 0);
        let machines = self.members.len() + self.hosts.len();
        let mut retry_ms = self.now_ms + STUCK_RETRY_MS;
        // Where there are seeders, only their hours may be left to wait for.
        let mut early_retries = if self.hosts.is_empty() { 0 } else { EARLY_RETRIES };
        loop {
            steps += 1;
            if steps > STEPS_EACH_MAX * machines.max(5) {
                return Err("O7: it never comes to rest".into());
            }
            let busy: Vec<usize> = (0..self.members.len()).filter(|n| self.members[*n].has_work()).collect();
            let busy_host = self.hosts.iter().position(Host::has_work);
            let on_the_way = !self.ready.is_empty();
            if let Some(member) = self.dice.pick(&busy).copied()
                && (!on_the_way || self.dice.one_in(2))
            {
                self.work(member);
            } else if let Some(host) = busy_host.filter(|_| !on_the_way || self.dice.one_in(2)) {
                self.hosts[host].work(self.now_ms);
            } else if on_the_way {
                self.deliver();
            } else if let Some(held) = (!self.faults.scripted)
                .then(|| {
                    // What can not be let out yet waits for that, and for time to pass.
                    let is_held = |engine: &Engine| engine.held().is_some() && engine.may_let_out().is_ok();
                    let held = |m: &Member<'_>| m.live.as_ref().is_some_and(|live| is_held(&live.engine));
                    self.members.iter().position(|m| held(m) && !m.is_out())
                })
                .flatten()
            {
                // Refusing brings back only what somebody else has got meanwhile.
                let approve = self.may_lack || !self.dice.one_in(3);
                self.may_lack |= !approve;
                let name = self.members[held].name;
                self.note(&format!("{name} is asked about deletions: {approve}"));
                self.members[held].tell_engine(self.now_ms, Input::Decide { approve });
            } else if let Some(due) = self.due_ms()
                && (ticks < TICKS_MAX || ticks < 2 * TICKS_MAX && self.somebody_has_something_to_say())
            {
                let due = if early_retries > 0 && self.something_is_stuck() { due.min(retry_ms) } else { due };
                let ms = due.saturating_sub(self.now_ms).max(1);
                ticks += 1;
                self.pass(ms);
                if self.faults.weather && self.now_ms >= retry_ms {
                    retry_ms = self.now_ms + STUCK_RETRY_MS;
                    early_retries -= early_retries.min(1);
                    for member in 0..self.members.len() {
                        self.members[member].retry(self.now_ms);
                    }
                }
            } else if rounds < 3 {
                (rounds, ticks) = (rounds + 1, 0);
                for member in 0..self.members.len() {
                    self.members[member].retry(self.now_ms);
                    self.members[member].look_at(Vec::new());
                }
            } else {
                return Ok(());
            }
            self.tidy();
            for host in 0..self.hosts.len() {
                if std::mem::take(&mut self.hosts[host].is_alone) {
                    self.all_call(host);
                    self.tidy();
                }
            }
        }
    }

    fn something_is_stuck(&self) -> bool {
        self.members
            .iter()
            .filter_map(|member| member.live.as_ref())
            .any(|live| !live.engine.summary().stuck.is_empty())
    }

    /// Whether an engine waits for its own timer, which rings soon: then it is not at rest, however many of others rang meanwhile.
    fn somebody_has_something_to_say(&self) -> bool {
        let due_ms = |member: &Member<'_>| Some(member.machine.world_ms(member.live.as_ref()?.wake_ms?));
        self.members.iter().filter_map(due_ms).any(|due_ms| due_ms < self.now_ms + SOON_MS)
    }

    /// When the next timer rings.
    fn due_ms(&self) -> Option<u64> {
        // Keys that grow old are no part of coming to rest.
        let is_soon = |due: &u64| !self.faults.membership || *due < self.now_ms + SOON_MS;
        let of_members = self.members.iter().filter_map(Member::due_ms).filter(is_soon);
        of_members.chain(self.hosts.iter().filter_map(Host::due_ms)).min()
    }

    fn content_may_lack(&self) -> bool {
        self.may_lack || self.faults.stops || self.faults.ignores
    }

    /// Times and modes, too, once contents are equal.
    fn times_agree(&self) -> Result<(), String> {
        let one = &self.members[0];
        // Each differs from what was agreed by what its disk can not keep, so both together by twice as much.
        let is_near = |a: i64, b: i64| {
            let between = i64::midpoint(a, b);
            same_time(a, b) || self.faults.coarse_times && same_time(a, between) && same_time(between, b)
        };
        for other in self.seated().into_iter().skip(1).map(|n| &self.members[n]) {
            for (path, node) in &one.durable.disk.tree {
                let both = (node.stat(), other.durable.disk.tree.get(path).map(Node::stat));
                let (Stat::File(a), Some(Stat::File(b))) = both else { continue };
                if !one.ignores(path)
                    && !other.ignores(path)
                    && (!is_near(a.mtime_ns, b.mtime_ns) || a.executable != b.executable)
                {
                    let (a, b) = ((a.mtime_ns, a.executable), (b.mtime_ns, b.executable));
                    let (one, other) = (one.name, other.name);
                    return Err(format!("O2: time or mode of {path} differs: {one} has {a:?}, {other} {b:?}"));
                }
            }
        }
        Ok(())
    }

    /// The heads that anybody knows, and what each is sealed under.
    fn known_heads(&self) -> BTreeMap<HeadId, EpochTag> {
        let running = self.members.iter().filter_map(|member| member.live.as_ref());
        running.flat_map(|live| live.replica.heads().iter()).map(|head| (head.id(), head.head().epoch)).collect()
    }

    /// What the newest heads of all are sealed under.
    fn epochs_in_use(&self) -> BTreeSet<EpochTag> {
        let running = self.members.iter().filter_map(|member| member.live.as_ref());
        running.flat_map(|live| live.replica.heads().maximal()).map(|head| head.head().epoch).collect()
    }

    /// Members who have a block, or can make it.
    fn holders(&self, cid: &Cid) -> String {
        let seated = self.seated().into_iter().map(|n| &self.members[n]);
        seated.filter(|member| member.block(cid).is_some()).map(|member| member.name).collect()
    }

    fn wants_in_words(&self, member: &Member<'_>) -> String {
        let block = |cid: &Cid| {
            let holders = self.holders(cid);
            let hosts: String = self.hosts.iter().filter(|host| host.has(cid)).map(|host| host.name).collect();
            format!("block {}, which {holders:?} and {hosts:?} have", cid.short())
        };
        let blocks = member.wants().into_iter().chain(member.missing_contents()).map(|cid| block(&cid));
        [member.waits_for()].into_iter().chain(blocks).collect::<Vec<_>>().join("; ")
    }

    /// O2: all disks are equal, and nobody waits for anything.
    pub(crate) fn members_agree(&mut self) -> Result<(), String> {
        let seated: Vec<&Member<'_>> = self.seated().into_iter().map(|n| &self.members[n]).collect();
        for (n, member) in seated.iter().enumerate() {
            let Some(live) = &member.live else { continue };
            let summary = live.engine.summary();
            // Where all have the same rules, one is as good as any other to compare with.
            let others = if self.faults.own_rules { &seated[..n] } else { &seated[..n.min(1)] };
            for other in others {
                let (theirs, ours) = (show_beside(other, Some(member)), show_beside(member, Some(other)));
                if ours != theirs {
                    let (a, b) = (other.name, member.name);
                    let waits: Vec<String> = self.members.iter().map(|member| self.wants_in_words(member)).collect();
                    return Err(format!("O2: disks differ: {a} has\n{theirs}{b} has\n{ours}{summary:?} {waits:?}"));
                }
            }
            let waits = summary.pending_files > 0 || !summary.settled;
            if waits && !self.content_may_lack() || summary.stuck.iter().any(|(path, _)| !member.keeps_ignored(path)) {
                let wanted = live.engine.view().entries.keys();
                let missing: Vec<String> = wanted
                    .filter(|path| !member.durable.disk.tree.contains_key(*path) && !member.ignores(path))
                    .map(|path| {
                        let has = |other: &&Member<'_>| other.durable.disk.tree.contains_key(path);
                        let holders: String = self.members.iter().filter(has).map(|other| other.name).collect();
                        let dot =
                            live.engine.leaf_at(path).map(|(inode, seen, _)| format!("{} {seen:?}", inode.short()));
                        format!("{path} ({dot:?}), which {holders:?} show")
                    })
                    .collect();
                return Err(format!(
                    "O8: {} does not rest: {summary:?}; missing: {missing:?}, waits for {}",
                    member.name,
                    member.waits_for()
                ));
            }
        }
        Ok(())
    }
}

/// What stands on a disk and is content there.
fn show(member: &Member<'_>) -> String {
    show_beside(member, None)
}

/// ... and with somebody else.
fn show_beside(member: &Member<'_>, other: Option<&Member<'_>>) -> String {
    let mut text = String::new();
    for (path, node) in &member.durable.disk.tree {
        if member.ignores(path) || member.keeps_ignored(path) || other.is_some_and(|other| other.ignores(path)) {
            continue;
        }
        let content = node.content().map_or("/".into(), |content| {
            let start: Vec<u8> = content.bytes.iter().take(16).copied().collect();
            format!(": {}", String::from_utf8_lossy(&start))
        });
        let _ = writeln!(text, "    {path}{content}");
    }
    text
}
