//! A queue bounded in bytes. Room is reserved *before* the bytes are read or kept, and given back when the consumer takes
//! the item, so the memory of a peer's queue never passes its bound by more than the items the consumer holds.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What an item costs besides its bytes, so that empty items are bounded too.
const ITEM_OVERHEAD_BYTES: usize = 64;

/// A queue that holds at most `bytes_max` bytes. An item larger than that waits until the queue is empty.
pub(crate) fn queue<T>(bytes_max: usize) -> (Sender<T>, Receiver<T>) {
    let (items, taken) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(bytes_max));
    (Sender { items, room: room.clone(), bytes_max }, Receiver { items: taken, room })
}

/// The filling end.
pub(crate) struct Sender<T> {
    items: mpsc::UnboundedSender<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), room: self.room.clone(), bytes_max: self.bytes_max }
    }
}

/// Room for one item.
pub(crate) struct Slot<T> {
    items: mpsc::UnboundedSender<(T, OwnedSemaphorePermit)>,
    permit: OwnedSemaphorePermit,
}

impl<T> Sender<T> {
    /// Waits until there is room for `bytes`; `None` once the receiver is gone. Cancel safe.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<Slot<T>> {
        let cost = (bytes + ITEM_OVERHEAD_BYTES).min(self.bytes_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let permit = self.room.clone().acquire_many_owned(cost).await.ok()?;
        Some(Slot { items: self.items.clone(), permit })
    }
}

impl<T> Slot<T> {
    /// Fills the room. False if the receiver is gone.
    pub(crate) fn put(self, item: T) -> bool {
        self.items.send((item, self.permit)).is_ok()
    }
}

/// The emptying end.
pub(crate) struct Receiver<T> {
    items: mpsc::UnboundedReceiver<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when all senders are gone and the queue is empty. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        self.items.recv().await.map(|(item, _room)| item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_and_a_taken_item_lets_it_go_on() {
        let (tx, mut rx) = queue(1000);
        assert!(tx.reserve(800).await.unwrap().put("a"));
        assert!(tx.reserve(800).now_or_never().is_none(), "no room is left");
        assert_eq!(rx.recv().await, Some("a"));
        assert!(tx.reserve(800).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn an_item_larger_than_the_queue_passes_alone_and_empty_items_are_bounded() {
        let (tx, mut rx) = queue(1000);
        assert!(tx.reserve(1 << 40).await.unwrap().put(0));
        assert!(tx.reserve(0).now_or_never().is_none());
        rx.recv().await;
        let mut held = 0;
        while let Some(Some(slot)) = tx.reserve(0).now_or_never() {
            slot.put(held);
            held += 1;
        }
        assert_eq!(held, 1000 / ITEM_OVERHEAD_BYTES as i32);
    }

    #[tokio::test]
    async fn a_waiting_sender_learns_that_the_receiver_is_gone() {
        let (tx, rx) = queue::<()>(10);
        let _slot = tx.reserve(10).await;
        let waiting = tx.reserve(10);
        drop(rx);
        assert!(waiting.await.is_none());
    }
}
