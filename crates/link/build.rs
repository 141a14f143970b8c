//! Compiles each file of `program/` into a static program that the library carries as bytes.
//!
//! Cargo cannot build a `no_std` binary with its own panic strategy inside a workspace that
//! unwinds, so the compiler is called directly: one file each, no dependencies.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const PROGRAMS: [&str; 2] = ["link", "hold"];

fn main() {
    println!("cargo:rerun-if-changed=program");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_program)");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let supported = target.contains("-linux-")
        && (target.starts_with("x86_64-") || target.starts_with("aarch64-"));
    if !supported {
        println!("cargo:warning=no link program for {target}: Docker will use attach");
        return;
    }
    for program in PROGRAMS {
        compile(program, &target);
    }
    println!("cargo:rustc-cfg=has_program");
}

fn compile(program: &str, target: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(program);
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-type", "bin"])
        .args(["--crate-name", &format!("kiln_{program}_program")])
        .args(["--target", target]);
    for option in [
        "panic=abort",
        "opt-level=s",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=+crt-static",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-Wl,--build-id=none",
        "link-arg=-Wl,-z,norelro",
        "link-arg=-Wl,-z,noseparate-code",
    ] {
        rustc.args(["-C", option]);
    }
    rustc
        .arg("-o")
        .arg(&out)
        .arg(format!("program/{program}.rs"));
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
        "compiling the {program} program failed: {status}"
    );
}
