//! `hold`: sleeps for ever and touches nothing, as cheaply as a process can.
//!
//! What the namespaces of a container need to stay is a process in them. No standard library, as in
//! `link.rs`, and no memory but what it is made of.

#![no_std]
#![no_main]

use core::arch::global_asm;

// As the first process of its container it is told of no signal that it does not handle, so the
// call only returns where the kernel wants it made again.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".global _start",
    "_start:",
    "mov eax, {pause}",
    "syscall",
    "jmp _start",
    pause = const 34,
);

// No `pause` here: `ppoll` of nothing, without a time limit.
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".global _start",
    "_start:",
    "mov x0, xzr",
    "mov x1, xzr",
    "mov x2, xzr",
    "mov x3, xzr",
    "mov x8, {ppoll}",
    "svc 0",
    "b _start",
    ppoll = const 73,
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
