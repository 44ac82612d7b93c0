//! Opening while others rename and mount.
//!
//! Knows how long a path with ".." is asked for again. Must not know what is opened.

use std::thread;

use rustix::io::Errno;

/// A path with ".." is resolved again when anything on the machine was renamed or mounted meanwhile (openat2(2), EAGAIN).
/// While the kernel copies a mount namespace each try fails, for as long as that takes: 13 tries in a row were seen
/// beside a loop of `unshare --mount` on two CPUs, and more is lost when who copies waits for a CPU. This many with a
/// yield each are some 10 ms of nothing but that.
pub(super) const ATTEMPTS_MAX: u32 = 10_000;

/// What `open` gives once it is not interrupted any more.
pub(super) fn settled<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..ATTEMPTS_MAX {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => thread::yield_now(),
            result => return result,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is asked until it gives what `answer` gives for the attempt.
    fn asked(answer: impl Fn(u32) -> Result<(), Errno>) -> (u32, Result<(), Errno>) {
        let mut count = 0;
        let result = settled(|| {
            count += 1;
            answer(count)
        });
        (count, result)
    }

    #[test]
    fn a_copied_mount_namespace_is_outlasted() {
        let after = |count| if count <= 1_000 { Err(Errno::AGAIN) } else { Ok(()) };
        assert_eq!(asked(after), (1_001, Ok(())));
    }

    #[test]
    fn other_errors_are_told_at_once() {
        assert_eq!(asked(|_| Err(Errno::ACCESS)), (1, Err(Errno::ACCESS)));
    }

    #[test]
    fn it_ends() {
        assert_eq!(asked(|_| Err(Errno::AGAIN)), (ATTEMPTS_MAX, Err(Errno::AGAIN)));
    }
}
