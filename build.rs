//! Keeps pgrx's description of the SQL functions in the library, for `cargo pgrx schema`.

fn main() {
    // cargo-pgrx passes the same flag as a rustflag. Every crate would then be compiled once for
    // cargo and once more for cargo-pgrx, and test programs would not link.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-gc-sections");
    println!("cargo::rerun-if-changed=build.rs");
}
