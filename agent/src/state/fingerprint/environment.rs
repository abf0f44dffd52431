//! The floating-point environment. `torch.set_flush_denormal(True)` sets the training threads to take subnormal
//! numbers for zero; the statistics must not depend on it, and Rust's arithmetic assumes the default.

/// Runs `work` under the default environment and puts the caller's back.
#[inline(always)]
pub fn with_default<Result>(work: impl FnOnce() -> Result) -> Result {
    struct Restore(register::Word);
    impl Drop for Restore {
        fn drop(&mut self) {
            if self.0 & !register::FLAGS != register::DEFAULT {
                register::load(self.0);
            }
        }
    }
    let caller = register::store();
    if caller & !register::FLAGS != register::DEFAULT {
        register::load(register::DEFAULT);
    }
    let _restore = Restore(caller);
    work()
}

/// MXCSR.
#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    pub type Word = u32;
    /// All exceptions masked, round to nearest, subnormals as they are.
    pub const DEFAULT: Word = 0x1f80;
    /// The six flags of exceptions that happened; they take no part in arithmetic.
    pub const FLAGS: Word = 0x3f;

    pub fn store() -> Word {
        let mut register = 0;
        // SAFETY: writes four bytes to `register`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut register, options(nostack, preserves_flags)) };
        register
    }

    pub fn load(register: Word) {
        // SAFETY: reads four bytes; the value is the default or was read from the register before.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &register, options(nostack, preserves_flags)) };
    }
}

/// FPCR.
#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    pub type Word = u64;
    /// No exception traps, round to nearest, subnormals as they are.
    pub const DEFAULT: Word = 0;
    /// Those of exceptions that happened are in another register.
    pub const FLAGS: Word = 0;

    pub fn store() -> Word {
        let register;
        // SAFETY: reads a register that every thread may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) register, options(nostack, preserves_flags)) };
        register
    }

    pub fn load(register: Word) {
        // SAFETY: the value is the default or was read from the register before.
        unsafe { asm!("msr fpcr, {}", in(reg) register, options(nostack, preserves_flags)) };
    }
}
