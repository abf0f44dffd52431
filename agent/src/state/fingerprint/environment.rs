//! The floating-point environment. `torch.set_flush_denormal(True)` sets the training threads to take subnormal
//! numbers for zero; the statistics must not depend on it, and Rust's arithmetic assumes the default.

/// Runs `work` under the default environment and puts the caller's back.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub fn with_default<Result>(work: impl FnOnce() -> Result) -> Result {
    /// All exceptions masked, round to nearest, subnormals as they are.
    const DEFAULT: u32 = 0x1f80;
    /// The six flags of exceptions that happened; they take no part in arithmetic.
    const FLAGS: u32 = 0x3f;

    struct Restore(u32);
    impl Drop for Restore {
        fn drop(&mut self) {
            if self.0 & !FLAGS != DEFAULT {
                load(self.0);
            }
        }
    }
    let caller = store();
    if caller & !FLAGS != DEFAULT {
        load(DEFAULT);
    }
    let _restore = Restore(caller);
    work()
}

/// The caller's environment is taken for the default one.
#[inline(always)]
#[cfg(not(target_arch = "x86_64"))]
pub fn with_default<Result>(work: impl FnOnce() -> Result) -> Result {
    work()
}

#[cfg(target_arch = "x86_64")]
fn store() -> u32 {
    let mut register = 0u32;
    // SAFETY: writes four bytes to `register`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut register, options(nostack, preserves_flags)) };
    register
}

#[cfg(target_arch = "x86_64")]
fn load(register: u32) {
    // SAFETY: reads four bytes; the value is the default or was read from the register before.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &register, options(nostack, preserves_flags)) };
}
