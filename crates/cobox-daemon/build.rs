//! The program carries the built web page: when that changes, the program is built anew.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
