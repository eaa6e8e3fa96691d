//! What goes into the log (`cobox_log` keeps its files within bounds): no names, paths or addresses, see [`crate::Private`].

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Our own crates; others only tell of errors, since they do not know what is private.
const OURS: [&str; 6] = ["cobox", "cobox_daemon", "cobox_core", "cobox_proto", "cobox_store", "cobox_net"];

/// What the words of `log` and `COBOX_LOG` mean.
pub(crate) fn filter(words: &str) -> Result<EnvFilter, ParseError> {
    cobox_log::filter(words, &OURS)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use crate::Private;

    #[test]
    fn names_and_paths_do_not_reach_the_log() {
        #[derive(Clone, Default)]
        struct Memory(Arc<Mutex<Vec<u8>>>);
        impl Write for Memory {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(line);
                Ok(line.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let path = Private("/home/ana/letters");
            tracing::warn!(%path, name = ?Private("Ana"), "can not read a file");
        });
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("can not read a file") && text.contains("(private)"), "{text}");
        assert!(!text.contains("ana") && !text.contains("Ana"), "{text}");
    }
}
