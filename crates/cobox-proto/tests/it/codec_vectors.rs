//! `spec/vectors/codec.json`: the smallest parts that all bytes are made of, and the other spellings that nobody may accept.

use cobox_proto::codec::{DecodeError, Reader, Writer};
use cobox_proto::id::OfferId;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::vector_file::compare;

const BYTES_MAX: usize = 300;
const ITEMS_MAX: usize = 3;

fn written(write: impl FnOnce(&mut Writer) -> &mut Writer) -> String {
    let mut w = Writer::new();
    write(&mut w);
    HEXLOWER.encode(w.as_slice())
}

/// Why bytes are refused when this is read of them and then the end.
fn refused(name: &str, bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<(), DecodeError>) -> Value {
    let mut r = Reader::new(bytes);
    let error = read(&mut r).and_then(|()| r.finish()).expect_err(name);
    json!({ "name": name, "bytes": HEXLOWER.encode(bytes), "error": error.to_string() })
}

#[test]
fn the_parts_of_all_bytes_are_as_written_down_and_other_spellings_are_refused() {
    let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
    let varints: Vec<Value> = numbers
        .into_iter()
        .map(|number| {
            let bytes = written(|w| w.varint(number));
            let read = HEXLOWER.decode(bytes.as_bytes()).unwrap();
            assert_eq!(Reader::new(&read).varint(), Ok(number));
            json!({ "number": number.to_string(), "bytes": bytes })
        })
        .collect();
    let (one, two) = (OfferId([1; 16]), OfferId([2; 16]));
    let varint = |r: &mut Reader<'_>| r.varint().map(drop);
    let bytes = |r: &mut Reader<'_>| r.bytes(BYTES_MAX, "bytes").map(drop);
    let text = |r: &mut Reader<'_>| r.text(BYTES_MAX, "text").map(drop);
    let sorted = |r: &mut Reader<'_>| r.sorted_list::<OfferId>(ITEMS_MAX, "list").map(drop);
    let refusals = [
        refused("a number in a long form", &[0x80, 0], varint),
        refused("a number cut off", &[0x80], varint),
        refused("a number over 64 bits", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], varint),
        refused("a number of eleven bytes", &[0xff; 11], varint),
        refused("a flag of 2", &[2], |r| r.bool("flag").map(drop)),
        refused("an option of 2", &[2], |r| r.option::<OfferId>("option").map(drop)),
        refused("bytes longer than allowed", &[0xad, 2], bytes),
        refused("bytes cut off", &[3, 1, 2], bytes),
        refused("a text that is no UTF-8", &[2, 0xc3, 0x28], text),
        refused("a list longer than allowed", &[4], sorted),
        refused("a list out of order", &[&[2][..], &[2; 16], &[1; 16]].concat(), sorted),
        refused("a list with one item twice", &[&[2][..], &[1; 16], &[1; 16]].concat(), sorted),
        refused("bytes after the end", &[1, 0], |r| r.bool("flag").map(drop)),
    ];
    compare(
        "codec.json",
        &json!({
            "varint": varints,
            "fixed": {
                "u16 258": written(|w| w.u16(258)),
                "u32 16909060": written(|w| w.u32(16_909_060)),
                "u64 72623859790382856": written(|w| w.u64(72_623_859_790_382_856)),
                "i64 -2": written(|w| w.i64(-2)),
            },
            "flag": { "false": written(|w| w.bool(false)), "true": written(|w| w.bool(true)) },
            "bytes 01 02": written(|w| w.bytes(&[1, 2])),
            "text Zoë": written(|w| w.text("Zoë")),
            "list of two offers": written(|w| w.list(&[one, two])),
            "option": {
                "nothing": written(|w| w.option::<OfferId>(None)),
                "an offer": written(|w| w.option(Some(&one))),
            },
            "bounds of the refused": { "bytes": BYTES_MAX, "items": ITEMS_MAX },
            "refused": refusals,
        }),
    );
}
