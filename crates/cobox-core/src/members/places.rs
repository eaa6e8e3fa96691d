//! Where a folder is found, as codes carry it: a few tickets in their canonical bytes. One coding for all of them.

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::limits::{INVITE_TICKETS_MAX, TICKET_BYTES_MAX};

/// Whether a code holds so many tickets of such sizes.
pub(super) fn tickets_fit(tickets: &[Vec<u8>]) -> bool {
    tickets.len() <= INVITE_TICKETS_MAX && tickets.iter().all(|ticket| ticket.len() <= TICKET_BYTES_MAX)
}

/// The first of them that a code holds.
pub(super) fn tickets_that_fit(mut tickets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    tickets.retain(|ticket| ticket.len() <= TICKET_BYTES_MAX);
    tickets.truncate(INVITE_TICKETS_MAX);
    tickets
}

pub(super) fn put_tickets(w: &mut Writer, tickets: &[Vec<u8>]) {
    w.varint(tickets.len() as u64);
    for ticket in tickets {
        w.bytes(ticket);
    }
}

pub(super) fn tickets(r: &mut Reader<'_>, what: &'static str) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = r.varint_max(INVITE_TICKETS_MAX as u64, what)?;
    (0..count).map(|_| Ok(r.bytes(TICKET_BYTES_MAX, "ticket")?.to_vec())).collect()
}
