//! Every history there is of a few ops: each op is written on every view that somebody could have had of the ops before it. What
//! had no authority in its own past is left out, for it changes nothing.
//!
//! Each history is made once: its ops are appended in the order of (longest path, number), which is one order of many for each set.

use std::collections::BTreeMap;

use cobox_proto::id::OpId;
use cobox_proto::members::{Log, Op, OpBody, SignedOp, Signer};
use cobox_proto::sign::SecretKey;

/// Something that somebody may try, on a view.
pub(crate) struct Try {
    /// The grants of the signers, with the keys they sign with.
    pub(crate) signers: Vec<(OpId, SecretKey)>,
    pub(crate) body: OpBody,
}

/// What can be tried by whoever has seen these ops, all of which are in the log.
pub(crate) type Tries<'a> = &'a dyn Fn(&Log, &[&SignedOp]) -> Vec<Try>;

struct Written {
    signed: SignedOp,
    lam: u64,
    /// Numbers of what it has seen, what everybody knew from the start left out; sorted.
    past: Vec<u32>,
}

/// A history as it is looked at.
pub(crate) struct History<'a> {
    /// What everybody knew from the start, with all of it.
    pub(crate) log: Log,
    /// Its ops, each after those it has seen.
    pub(crate) ops: Vec<&'a SignedOp>,
}

/// See the module.
pub(crate) struct Enumeration<'a> {
    base: &'a Log,
    tries: Tries<'a>,
    written: Vec<Written>,
    /// The ops with authority that can be written on a view.
    on: BTreeMap<Vec<u32>, Vec<u32>>,
    /// How many histories there are of each number of ops.
    pub(crate) counts: Vec<usize>,
    /// Which of how many parts this one goes through.
    part: Part,
}

/// One of several equal parts of all histories: the `.0`th of `.1`.
pub(crate) type Part = (usize, usize);
/// Histories of so many ops are dealt out to the parts, with all that go on from them.
const DEALT_OPS: usize = 2;

impl<'a> Enumeration<'a> {
    pub(crate) fn new(base: &'a Log, tries: Tries<'a>, part: Part) -> Self {
        Self { base, tries, written: vec![], on: BTreeMap::new(), counts: vec![], part }
    }

    /// Looks at every history of at most so many ops.
    pub(crate) fn each(&mut self, ops: usize, look: &mut dyn FnMut(&History<'_>)) {
        self.counts = vec![0; ops + 1];
        self.go_on(&mut Vec::new(), ops, look);
    }

    fn go_on(&mut self, history: &mut Vec<u32>, left: usize, look: &mut dyn FnMut(&History<'_>)) {
        self.counts[history.len()] += 1;
        let (part, parts) = self.part;
        let is_dealt = history.len() < DEALT_OPS;
        if history.len() == DEALT_OPS && self.counts[DEALT_OPS] % parts != part {
            return;
        }
        if !is_dealt || part == 0 {
            look(&History { log: self.log_of(history), ops: self.signed(history) });
        }
        if left == 0 {
            return;
        }
        // The whole history as a view is the last: if it is the longest view there is, nobody else asks for what is written on it.
        let mut next = Vec::new();
        let mut kept = self.written.len();
        for view in self.views(history) {
            kept = self.written.len();
            let keep = left > 1 || view.len() < history.len();
            next.extend(self.writable_on(view, keep));
        }
        let last = history.last().map(|last| self.order(*last));
        next.retain(|op| Some(self.order(*op)) > last);
        for op in next {
            history.push(op);
            self.go_on(history, left - 1, look);
            history.pop();
        }
        if left == 1 {
            self.written.truncate(kept);
        }
    }

    fn order(&self, op: u32) -> (u64, u32) {
        (self.written[op as usize].lam, op)
    }

    fn signed(&self, ops: &[u32]) -> Vec<&SignedOp> {
        ops.iter().map(|op| &self.written[*op as usize].signed).collect()
    }

    fn log_of(&self, ops: &[u32]) -> Log {
        let mut log = self.base.clone();
        for op in self.signed(ops) {
            log.add(op.clone()).unwrap();
        }
        log
    }

    /// The downward closed parts of a history.
    fn views(&self, history: &[u32]) -> Vec<Vec<u32>> {
        let picks = (0..1_u32 << history.len()).map(|pick| {
            let picked = history.iter().enumerate().filter(move |(i, _)| pick >> i & 1 == 1);
            picked.map(|(_, op)| *op).collect::<Vec<u32>>()
        });
        let closed = |view: &Vec<u32>| {
            view.iter().all(|op| self.written[*op as usize].past.iter().all(|earlier| view.contains(earlier)))
        };
        picks.filter(closed).collect()
    }

    fn writable_on(&mut self, mut view: Vec<u32>, keep: bool) -> Vec<u32> {
        view.sort_by_key(|op| self.order(*op));
        if let Some(known) = self.on.get(&view) {
            return known.clone();
        }
        let mut log = self.log_of(&view);
        let (deps, tries) = (log.frontier(), (self.tries)(&log, &self.signed(&view)));
        let mut writable = Vec::new();
        for Try { mut signers, body } in tries {
            signers.sort_by_key(|(grant, _)| (matches!(body, OpBody::Join { .. }) && *grant == OpId::ZERO, *grant));
            let named = signers.iter().map(|(grant, key)| Signer { grant: *grant, key: key.public() }).collect();
            let op = Op { folder: log.folder(), signers: named, deps: deps.clone(), body, sealed: vec![] };
            let signed = SignedOp::sign(op, &signers.iter().map(|(_, key)| key).collect::<Vec<_>>()).unwrap();
            let id = signed.id();
            if log.contains(&id) {
                continue;
            }
            // The tries do not see each other, so one log serves to judge them all.
            log.add(signed.clone()).unwrap();
            if log.refusal(&id).is_none() {
                let number = self.written.len() as u32;
                let lam = log.lam(&id).unwrap();
                self.written.push(Written { signed, lam, past: view.clone() });
                writable.push(number);
            }
        }
        if keep {
            self.on.insert(view, writable.clone());
        }
        writable
    }
}

impl History<'_> {
    /// Other logs with the same ops, which came in other orders: in every order there is, or in so many.
    pub(crate) fn redelivered(&self, base: &Log, most: usize) -> Vec<Log> {
        let mut orders = Vec::new();
        self.orders(&mut Vec::new(), most, &mut orders);
        let deliver = |order: Vec<usize>| {
            let mut log = base.clone();
            order.into_iter().for_each(|n| drop(log.add(self.ops[n].clone()).unwrap()));
            log
        };
        orders.into_iter().map(deliver).collect()
    }

    /// Orders in which each op comes after those it has seen, those first that differ most from the order here.
    fn orders(&self, begun: &mut Vec<usize>, most: usize, found: &mut Vec<Vec<usize>>) {
        if found.len() >= most {
            return;
        }
        if begun.len() == self.ops.len() {
            return found.push(begun.clone());
        }
        for n in (0..self.ops.len()).rev().filter(|n| !begun.contains(n)).collect::<Vec<_>>() {
            let ready = (0..n).all(|e| begun.contains(&e) || !self.log.precedes(&self.ops[e].id(), &self.ops[n].id()));
            if ready {
                begun.push(n);
                self.orders(begun, most, found);
                begun.pop();
            }
        }
    }
}
