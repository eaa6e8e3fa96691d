//! Guards that a rehearsal may take away, one at a time, to see that the simulator would notice: each is the one line that keeps a
//! mistake out which a sync tool has made in public, or this one. In builds without debug assertions they all stand and cost nothing.
//!
//! What must hold: a guard here is never a switch of the product; only tests and the simulator take one away, on their own thread.

/// One of them. The number is the row of the list of public mistakes, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// 2: a folder that looks empty is held, not deleted everywhere.
    EmptiedIsHeld,
    /// 3: what a step of an earlier run set aside is nobody's deletion.
    SetAsideIsNotDeleted,
    /// 4: what is ignored from now on is not deleted.
    IgnoredIsNotDeleted,
    /// 5: what was seen and is gone there was deleted.
    DeletedStaysDeleted,
    /// 6: a file found without memory replaces nothing it has not seen.
    FoundReplacesNothing,
    /// 7: who edits and who deletes is told alike on both sides.
    EditOutlivesDeletion,
    /// 8: what was once seen stays seen, however long ago.
    SeenForEver,
    /// 9: what our own steps did during a look is nobody's edit.
    OwnStepsAreNoEdits,
    /// 10: an edit replaces what the person had before them, and no more.
    EditReplacesWhatWasSeen,
    /// 11: who joins with a full directory keeps what is in it.
    JoinedFilesStay,
    /// 15: times and modes arrive.
    TimesArrive,
    /// 17: nothing is told to others before it is durable here.
    DurableBeforeTold,
    /// 19: a step that failed was not done.
    FailedIsNotDone,
    /// 20: what a head that is on its way has brought is no garbage.
    WhatComesIsNoGarbage,
    /// 21: what lies above a lost block is complete no more.
    LostIsLookedThrough,
    /// 22: nothing is thrown away while something is repaired.
    RepairThrowsNothingAway,
    /// What is seen at its old place and at its new one is no copy.
    HalfAMoveIsNoCopy,
    /// No newest head is left beside one that is as good.
    AllNewestAreMerged,
    /// A deletion takes along only what was there at the last look.
    AdoptedIsNotDeleted,
    /// Every start writes under a name of its own.
    FreshNameEachStart,
    /// What was due before the clock was set back is due as long from now.
    SetBackPutsNothingOff,
    /// Who meets a continuation of its own chain goes on under another name.
    TwinsPart,
    /// What stands at two places loses nothing when one of them goes or becomes something else.
    OneOfTwoTakesNothing,
    /// Contents that differ are never taken for one.
    ConflictKeepsBoth,
    /// What changes places by being written there is written only while its old place has it.
    MovedByWritingIsThere,
    /// A file behind which a directory has moved is deleted.
    FileBehindADirIsGone,
    /// An epoch that comes without all its keys is none yet.
    EpochsComeWhole,
    /// A block is synced before the index names it.
    SyncedBeforeNamed,
    /// So is one that is found at the start, which the index did not name.
    FoundIsSynced,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::EmptiedIsHeld,
        Self::SetAsideIsNotDeleted,
        Self::IgnoredIsNotDeleted,
        Self::DeletedStaysDeleted,
        Self::FoundReplacesNothing,
        Self::EditOutlivesDeletion,
        Self::SeenForEver,
        Self::OwnStepsAreNoEdits,
        Self::EditReplacesWhatWasSeen,
        Self::JoinedFilesStay,
        Self::TimesArrive,
        Self::DurableBeforeTold,
        Self::FailedIsNotDone,
        Self::WhatComesIsNoGarbage,
        Self::LostIsLookedThrough,
        Self::RepairThrowsNothingAway,
        Self::HalfAMoveIsNoCopy,
        Self::AllNewestAreMerged,
        Self::AdoptedIsNotDeleted,
        Self::FreshNameEachStart,
        Self::SetBackPutsNothingOff,
        Self::TwinsPart,
        Self::OneOfTwoTakesNothing,
        Self::ConflictKeepsBoth,
        Self::MovedByWritingIsThere,
        Self::FileBehindADirIsGone,
        Self::EpochsComeWhole,
        Self::SyncedBeforeNamed,
        Self::FoundIsSynced,
    ];

    /// Whether it stands: always, but in a rehearsal.
    #[inline]
    pub fn stands(self) -> bool {
        #[cfg(debug_assertions)]
        return TAKEN.get() != Some(self);
        #[cfg(not(debug_assertions))]
        true
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static TAKEN: std::cell::Cell<Option<Guard>> = const { std::cell::Cell::new(None) };
}

/// Takes a guard away on this thread, or puts all of them back.
#[cfg(debug_assertions)]
pub fn take_away(guard: Option<Guard>) {
    TAKEN.set(guard);
}
