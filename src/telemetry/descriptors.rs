//! File descriptors: raises the limit as far as useful, and reserves the last ones for recordings,
//! the database and running streams, whatever the load from unknown clients.

use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Highest limit requested, even if the system allows more: child processes inherit the limit, and
/// some iterate over all descriptors.
const WANTED_DESCRIPTORS: u64 = 65_536;

/// Most descriptors that are closed to new connections.
const RESERVED_DESCRIPTORS_MAX: u64 = 256;

/// Raises the soft limit of open files towards the hard limit; returns the new limit. Call it at
/// start-up.
pub fn raise_limit() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // `None` means unlimited.
    let wanted = maximum.unwrap_or(WANTED_DESCRIPTORS).min(WANTED_DESCRIPTORS);
    if limit() < wanted {
        // If this is refused, the old limit stays and is returned.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    limit()
}

fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether too few descriptors are left for a new connection. The system assigns the lowest free
/// number (POSIX, section 2.14), so a high number shows how many are in use.
pub fn are_scarce() -> bool {
    let lowest_free = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 0);
    lowest_free.map_or(true, |fd| is_reserved(fd.as_raw_fd(), limit()))
}

/// Most descriptors that clients may use.
pub fn for_strangers() -> usize {
    usize::try_from(unreserved(limit())).unwrap_or(usize::MAX)
}

fn unreserved(limit: u64) -> u64 {
    limit - RESERVED_DESCRIPTORS_MAX.min(limit / 4)
}

fn is_reserved(fd: i32, limit: u64) -> bool {
    u64::try_from(fd).is_ok_and(|fd| fd >= unreserved(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_reserved() {
        let check =
            |fd, limit, expect| assert_eq!(is_reserved(fd, limit), expect, "{fd} of {limit}");
        check(3, 1024, false);
        check(767, 1024, false);
        check(768, 1024, true);
        check(65_279, 65_536, false);
        check(65_280, 65_536, true);
        check(3, u64::MAX, false);
        check(11, 16, false);
        check(12, 16, true);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_lets() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert!(raise_limit() >= hard.min(WANTED_DESCRIPTORS));
        let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(soft >= hard.min(WANTED_DESCRIPTORS), "{soft} of {hard}");
        assert!(!are_scarce());
    }
}
