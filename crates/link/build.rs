//! Compiles `program/main.rs` into the static program that the library carries as bytes.
//!
//! Cargo cannot build a `no_std` binary with its own panic strategy inside a workspace that
//! unwinds, so the compiler is called directly: one file, no dependencies.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=program/main.rs");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_program)");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let supported = target.contains("-linux-")
        && (target.starts_with("x86_64-") || target.starts_with("aarch64-"));
    if !supported {
        println!("cargo:warning=no link program for {target}: Docker will use attach");
        return;
    }

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("program");
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "kiln_link_program",
        ])
        .args(["--target", &target])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
        ])
        .args([
            "-C",
            "relocation-model=static",
            "-C",
            "target-feature=+crt-static",
        ])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        .args([
            "-C",
            "link-arg=-static",
            "-C",
            "link-arg=-Wl,--build-id=none",
        ])
        .args([
            "-C",
            "link-arg=-Wl,-z,norelro",
            "-C",
            "link-arg=-Wl,-z,noseparate-code",
        ])
        .arg("-o")
        .arg(&out)
        .arg("program/main.rs");
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut flag = std::ffi::OsString::from("linker=");
        flag.push(linker);
        rustc.arg("-C").arg(flag);
    }
    let status = rustc
        .status()
        .expect("the compiler that builds this crate can be run");
    assert!(
        status.success(),
        "compiling the link program failed: {status}"
    );
    println!("cargo:rustc-cfg=has_program");
}
