//! Which instructions a chunk is hashed and counted with: one source, compiled once for each path.

use super::fold::Fold;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::vector::Plain;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::libtorch::view::Dtype;

/// A set of vector instructions. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No instructions by name: what the compiler makes of it.
    Portable,
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with the byte and word instructions.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// Those that this machine can run, the fastest last.
    pub fn available() -> Vec<Path> {
        #[cfg(target_arch = "x86_64")]
        match Path::best() {
            Path::Avx512 => return vec![Path::Portable, Path::Avx2, Path::Avx512],
            Path::Avx2 => return vec![Path::Portable, Path::Avx2],
            Path::Portable => {}
        }
        vec![
            Path::Portable,
            #[cfg(target_arch = "aarch64")]
            Path::Neon,
        ]
    }

    /// The fastest that this machine can run.
    #[inline]
    pub fn best() -> Path {
        #[cfg(target_arch = "x86_64")]
        {
            // The standard library asks the processor once and keeps the answer in an atomic.
            let avx2 = is_x86_feature_detected!("avx2");
            if avx2 && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                return Path::Avx512;
            }
            if avx2 {
                return Path::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        return Path::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Path::Portable
    }

    /// Takes chunk number `index`, whole elements of type `part`, into `fold`.
    #[inline]
    pub(super) fn chunk(self, part: Dtype, index: u64, bytes: &[u8], fold: &mut Fold) {
        match self {
            Path::Portable => portable(part, index, bytes, fold),
            #[cfg(target_arch = "aarch64")]
            Path::Neon => neon(part, index, bytes, fold),
            // SAFETY: this case only comes from `best` and `available`, which asked the processor for it.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { avx2(part, index, bytes, fold) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { avx512(part, index, bytes, fold) },
        }
    }
}

fn portable(part: Dtype, index: u64, bytes: &[u8], fold: &mut Fold) {
    fold.chunk::<Plain>(part, index, bytes);
}

#[cfg(target_arch = "aarch64")]
fn neon(part: Dtype, index: u64, bytes: &[u8], fold: &mut Fold) {
    fold.chunk::<Neon>(part, index, bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(part: Dtype, index: u64, bytes: &[u8], fold: &mut Fold) {
    fold.chunk::<Avx2>(part, index, bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512(part: Dtype, index: u64, bytes: &[u8], fold: &mut Fold) {
    fold.chunk::<Avx512>(part, index, bytes);
}
