//! `link SOCKET COMMAND [ARG]...`: see the crate's documentation for the protocol.
//!
//! No standard library: the program runs in images that hold nothing else, is mapped anew at
//! every cold start, and does six system calls before the function takes over.

#![no_std]
#![no_main]
// Loops must not be turned into calls of memcpy and friends: there is no C library here.
#![no_builtins]

use core::arch::{asm, global_asm};

const EXIT_USAGE: usize = 125;
const EXIT_CANNOT_RUN: usize = 126;
const EXIT_NOT_FOUND: usize = 127;

const ENOENT: isize = 2;
const EACCES: isize = 13;
const ENOTDIR: isize = 20;
const ENAMETOOLONG: isize = 36;
const EPROTO: isize = 71;

/// Searched when the environment names no PATH, as container runtimes do.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0";
const PATH_MAX: usize = 4096;

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const WRITE: usize = 1;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const RECVMSG: usize = 47;
    pub const EXECVE: usize = 59;
    pub const SCHED_SETSCHEDULER: usize = 144;
    pub const EXIT_GROUP: usize = 231;
    pub const DUP3: usize = 292;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub const WRITE: usize = 64;
    pub const SOCKET: usize = 198;
    pub const CONNECT: usize = 203;
    pub const RECVMSG: usize = 212;
    pub const EXECVE: usize = 221;
    pub const SCHED_SETSCHEDULER: usize = 119;
    pub const EXIT_GROUP: usize = 94;
    pub const DUP3: usize = 24;
}

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".global _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".global _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "bl {start}",
    start = sym start,
);

/// # Safety
/// `a`, `b` and `c` must be what system call `number` expects.
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel clobbers rcx and r11 only; the arguments are the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel keeps every register but x0; the arguments are the caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
             options(nostack));
    }
    result
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes a number and does not return.
        unsafe { syscall(nr::EXIT_GROUP, code, 0, 0) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(EXIT_USAGE)
}

/// # Safety
/// `stack` is the initial stack pointer: argc, then argv and envp, each ended by a null pointer.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel lays the initial stack out like this.
    let (argc, argv, envp) = unsafe {
        let argc = *stack;
        let argv = stack.add(1).cast::<*const u8>();
        (argc, argv, argv.add(argc + 1))
    };
    if argc < 3 {
        exit(EXIT_USAGE);
    }
    // SAFETY: argc says that argv[1] and argv[2] are there, and both are C strings.
    unsafe {
        let socket = connect(*argv.add(1));
        take_over_stdio(socket);
        yield_to_who_wakes_us();
        let errno = execute(argv.add(2), envp);
        fail(socket, errno)
    }
}

/// Tells the gateway why, and ends.
fn fail(socket: usize, errno: isize) -> ! {
    #[expect(clippy::cast_possible_truncation, reason = "an errno is below 4096")]
    let said = (errno as i32).to_ne_bytes();
    // SAFETY: the buffer is four bytes long.
    unsafe { syscall(nr::WRITE, socket, said.as_ptr() as usize, said.len()) };
    exit(if errno == ENOENT { EXIT_NOT_FOUND } else { EXIT_CANNOT_RUN })
}

/// # Safety
/// `path` is a C string.
unsafe fn connect(path: *const u8) -> usize {
    const AF_UNIX: u16 = 1;
    const SOCK_STREAM_CLOEXEC: usize = 1 | 0o2_000_000;

    #[repr(C)]
    struct Address {
        family: u16,
        path: [u8; 108],
    }
    let mut address = Address { family: AF_UNIX, path: [0; 108] };
    let mut length = 0;
    // SAFETY: the C string is read up to its end only; the copy keeps a final zero.
    unsafe {
        while *path.add(length) != 0 {
            if length == address.path.len() - 1 {
                exit(EXIT_USAGE);
            }
            address.path[length] = *path.add(length);
            length += 1;
        }
        let socket = syscall(nr::SOCKET, AF_UNIX as usize, SOCK_STREAM_CLOEXEC, 0);
        if socket < 0 {
            exit(EXIT_USAGE);
        }
        let size = 2 + length + 1;
        let address = (&raw const address) as usize;
        if syscall(nr::CONNECT, socket.unsigned_abs(), address, size) < 0 {
            exit(EXIT_USAGE);
        }
        socket.unsigned_abs()
    }
}

/// Receives the three descriptors and makes them 0, 1 and 2. The received ones close on exec.
///
/// # Safety
/// `socket` is a connected unix socket.
unsafe fn take_over_stdio(socket: usize) {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

    #[repr(C)]
    struct IoVec {
        base: *mut u8,
        length: usize,
    }
    #[repr(C)]
    struct Control {
        length: usize,
        level: i32,
        kind: i32,
        descriptors: [i32; 3],
        padding: i32,
    }
    #[repr(C)]
    struct Message {
        name: *mut u8,
        name_length: u32,
        iov: *mut IoVec,
        iov_length: usize,
        control: *mut Control,
        control_length: usize,
        flags: i32,
    }
    let mut byte = 0_u8;
    let mut iov = IoVec { base: &raw mut byte, length: 1 };
    let mut control = Control { length: 0, level: 0, kind: 0, descriptors: [-1; 3], padding: 0 };
    let mut message = Message {
        name: core::ptr::null_mut(),
        name_length: 0,
        iov: &raw mut iov,
        iov_length: 1,
        control: &raw mut control,
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: every pointer in the message is to a live local of the stated length.
    let received =
        unsafe { syscall(nr::RECVMSG, socket, (&raw mut message) as usize, MSG_CMSG_CLOEXEC) };
    if received != 1 {
        exit(EXIT_USAGE);
    }
    // SAFETY: the kernel wrote `control`; a volatile read keeps the compiler from assuming that
    // nobody did.
    let descriptors = unsafe { (&raw const control.descriptors).read_volatile() };
    for (target, descriptor) in descriptors.into_iter().enumerate() {
        // A runtime always opens 0, 1 and 2, so the received descriptors are higher.
        if descriptor < 3 {
            fail(socket, EPROTO);
        }
        // SAFETY: duplicating descriptors touches no memory.
        let result = unsafe { syscall(nr::DUP3, descriptor.unsigned_abs() as usize, target, 0) };
        if result < 0 {
            fail(socket, -result);
        }
    }
}

/// The function is to be batch work for the scheduler, and so not to interrupt the gateway in the
/// middle of what it does by a call that it is handed. Without this it is only slower.
fn yield_to_who_wakes_us() {
    const SCHED_BATCH: usize = 3;

    let priority = 0_i32;
    let parameters = (&raw const priority) as usize;
    // SAFETY: the kernel reads one int, which lives here.
    unsafe { syscall(nr::SCHED_SETSCHEDULER, 0, SCHED_BATCH, parameters) };
}

/// Replaces the process by the command; returns an errno if that fails.
///
/// # Safety
/// `argv` and `envp` are null-terminated arrays of C strings, and `argv` is not empty.
unsafe fn execute(argv: *const *const u8, envp: *const *const u8) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        let command = *argv;
        if contains(command, b'/') {
            return -syscall(nr::EXECVE, command as usize, argv as usize, envp as usize);
        }
        search(command, argv, envp)
    }
}

/// Tries the command in every directory of PATH, as execvp does.
///
/// # Safety
/// As for [`execute`].
unsafe fn search(
    command: *const u8,
    argv: *const *const u8,
    envp: *const *const u8,
) -> isize {
    let mut denied = false;
    // SAFETY: every read stays within a C string; `candidate` is ended by a zero.
    unsafe {
        let mut directory = path_variable(envp);
        loop {
            let mut candidate = [0_u8; PATH_MAX];
            let mut length = 0;
            while *directory != 0 && *directory != b':' {
                length = push(&mut candidate, length, *directory);
                directory = directory.add(1);
            }
            if length == 0 {
                length = push(&mut candidate, length, b'.');
            }
            length = push(&mut candidate, length, b'/');
            let mut rest = command;
            while *rest != 0 {
                length = push(&mut candidate, length, *rest);
                rest = rest.add(1);
            }
            if length < PATH_MAX - 1 {
                let path = candidate.as_ptr() as usize;
                match -syscall(nr::EXECVE, path, argv as usize, envp as usize) {
                    ENOENT | ENOTDIR | ENAMETOOLONG => {}
                    EACCES => denied = true,
                    errno => return errno,
                }
            }
            if *directory == 0 {
                return if denied { EACCES } else { ENOENT };
            }
            directory = directory.add(1);
        }
    }
}

/// Appends a byte while there is room for it and a final zero.
fn push(buffer: &mut [u8; PATH_MAX], length: usize, byte: u8) -> usize {
    if length < PATH_MAX - 1 {
        buffer[length] = byte;
        length + 1
    } else {
        length
    }
}

/// # Safety
/// `envp` is a null-terminated array of C strings.
unsafe fn path_variable(mut envp: *const *const u8) -> *const u8 {
    // SAFETY: the loop ends at the null pointer, each comparison at the first difference.
    unsafe {
        while !(*envp).is_null() {
            let entry = *envp;
            if *entry == b'P'
                && *entry.add(1) == b'A'
                && *entry.add(2) == b'T'
                && *entry.add(3) == b'H'
                && *entry.add(4) == b'='
            {
                return entry.add(5);
            }
            envp = envp.add(1);
        }
    }
    DEFAULT_PATH.as_ptr()
}

/// # Safety
/// `text` is a C string.
unsafe fn contains(mut text: *const u8, wanted: u8) -> bool {
    // SAFETY: the loop ends at the final zero.
    unsafe {
        while *text != 0 {
            if *text == wanted {
                return true;
            }
            text = text.add(1);
        }
    }
    false
}

// The compiler may still call these for large copies and zeroed arrays; without builtins the
// loops stay loops.

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "C's memset")]
        // SAFETY: the caller's promise.
        unsafe {
            *to.add(i) = value as u8;
        }
        i += 1;
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        // SAFETY: the caller's promise.
        unsafe { *to.add(i) = *from.add(i) };
        i += 1;
    }
    to
}
