//! What takes the place of functions of c10d: a few instructions that keep every register in which arguments can be, have
//! the call recorded, put the registers back and jump to the original.
//!
//! The stack is as the caller left it when the original begins, so that what is passed in memory is where it should be,
//! results go where the caller wants them, and exceptions find no trace of this.

/// What the registers were when a function was called.
#[repr(C)]
pub struct Registers {
    /// `rdi`, `rsi`, `rdx`, `rcx`, `r8`, `r9`: the first arguments.
    pub integers: [usize; 6],
    /// `rax` and `r10`, which some callers use besides.
    others: [usize; 2],
    vectors: [[u64; 2]; 8],
    /// Which function it is.
    pub number: usize,
    /// Where it returns to.
    pub return_address: usize,
    /// The first argument that is passed in memory, if there is one.
    pub in_memory: usize,
}

const SAVED: usize = size_of::<[usize; 8]>() + size_of::<[[u64; 2]; 8]>();
const _: () = assert!(SAVED == 192 && core::mem::offset_of!(Registers, number) == SAVED);

/// Where all of them lead. On the stack are the number of the function and the return address.
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn enter() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 16",
        "sub rsp, 192",
        ".cfi_adjust_cfa_offset 192",
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], rcx",
        "mov [rsp + 32], r8",
        "mov [rsp + 40], r9",
        "mov [rsp + 48], rax",
        "mov [rsp + 56], r10",
        "movups [rsp + 64], xmm0",
        "movups [rsp + 80], xmm1",
        "movups [rsp + 96], xmm2",
        "movups [rsp + 112], xmm3",
        "movups [rsp + 128], xmm4",
        "movups [rsp + 144], xmm5",
        "movups [rsp + 160], xmm6",
        "movups [rsp + 176], xmm7",
        "mov rdi, rsp",
        "call {called}",
        "mov r11, rax",
        "mov rdi, [rsp]",
        "mov rsi, [rsp + 8]",
        "mov rdx, [rsp + 16]",
        "mov rcx, [rsp + 24]",
        "mov r8, [rsp + 32]",
        "mov r9, [rsp + 40]",
        "mov rax, [rsp + 48]",
        "mov r10, [rsp + 56]",
        "movups xmm0, [rsp + 64]",
        "movups xmm1, [rsp + 80]",
        "movups xmm2, [rsp + 96]",
        "movups xmm3, [rsp + 112]",
        "movups xmm4, [rsp + 128]",
        "movups xmm5, [rsp + 144]",
        "movups xmm6, [rsp + 160]",
        "movups xmm7, [rsp + 176]",
        "add rsp, 200",
        ".cfi_adjust_cfa_offset -200",
        "jmp r11",
        ".cfi_endproc",
        called = sym super::called,
    )
}

/// Exports a name for each of the functions, and lists them.
macro_rules! interpose {
    ($($number:literal $name:ident $symbol:literal = $function:expr;)+) => {
        mod exported {
            $(
                #[unsafe(export_name = $symbol)]
                #[unsafe(naked)]
                pub unsafe extern "C-unwind" fn $name() {
                    core::arch::naked_asm!(
                        ".cfi_startproc",
                        "endbr64",
                        "push {number}",
                        ".cfi_adjust_cfa_offset 8",
                        "jmp {enter}",
                        ".cfi_endproc",
                        number = const $number,
                        enter = sym super::super::stubs::enter,
                    )
                }
            )+
        }

        /// All of them, by number.
        pub static INTERPOSED: [Interposed; [$($number),+].len()] = [
            $(Interposed {
                symbol: match std::ffi::CStr::from_bytes_with_nul(concat!($symbol, "\0").as_bytes()) {
                    Ok(symbol) => symbol,
                    Err(_) => panic!("a name with a zero byte"),
                },
                function: $function,
                stub: exported::$name,
            },)+
        ];

        const _: () = {
            let numbers = [$($number),+];
            let mut place = 0;
            while place < numbers.len() {
                assert!(numbers[place] == place);
                place += 1;
            }
        };
    };
}

pub(super) use interpose;
