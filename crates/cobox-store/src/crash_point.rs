//! Named places where a test may stop the world. In release builds they cost nothing and cannot be reached from outside.
//!
//! Two ways in debug builds: a test on the same thread watches them pass ([`watch`]) and takes a copy of the disk there,
//! which is what a kill at that place leaves; or a whole process ends at the place that `COBOX_CRASH_AT` names.

#[cfg(debug_assertions)]
mod armed {
    use std::cell::RefCell;
    use std::sync::OnceLock;

    type Hook = Box<dyn FnMut(&'static str)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Ends the watch when dropped.
    #[must_use = "the watch ends when this is dropped"]
    pub struct Watch(());

    impl Drop for Watch {
        fn drop(&mut self) {
            HOOK.with_borrow_mut(|hook| *hook = None);
        }
    }

    /// Calls `hook` with the name of every crash point this thread passes. It must not pass one itself.
    pub fn watch(hook: impl FnMut(&'static str) + 'static) -> Watch {
        HOOK.with_borrow_mut(|slot| *slot = Some(Box::new(hook)));
        Watch(())
    }

    pub(super) fn hit(name: &'static str) {
        static CRASH_AT: OnceLock<Option<String>> = OnceLock::new();
        HOOK.with_borrow_mut(|hook| {
            if let Some(hook) = hook {
                hook(name);
            }
        });
        if CRASH_AT.get_or_init(|| std::env::var("COBOX_CRASH_AT").ok()).as_deref() == Some(name) {
            std::process::abort();
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{Watch, watch};

/// The program passes the place called `name`: `<store or verb>.<what was just done>`.
#[inline]
pub fn hit(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::hit(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}
