//! Which recordings have to go: by age, by budget, for free space. Pure.

use std::time::Duration;

use super::Settings;

/// A finished recording, as the policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its name; names sort by start.
    pub(super) name: String,
    /// Its size.
    pub(super) bytes: u64,
    /// How long ago its last byte was written.
    pub(super) age: Duration,
}

/// What there is on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Bytes of the recording that is being written; they count, but it is never deleted.
    pub(super) open: u64,
    /// Bytes that the file system has left for us.
    pub(super) free: u64,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Names of recordings to delete, oldest first.
    pub(super) delete: Vec<String>,
    /// Less space is left than has to stay free, and nothing more may be deleted.
    pub(super) full: bool,
}

/// Judges the finished recordings of a stream.
pub(super) fn judge(mut files: Vec<Kept>, space: Space, settings: &Settings) -> Verdict {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let age_max = Duration::from_secs(u64::from(settings.keep_hours) * 3600);
    let bytes_max = u64::from(settings.keep_mib) << 20;
    let free_min = u64::from(settings.keep_free_mib) << 20;
    // Without an age or a budget nobody has agreed to lose recordings: then a full disk stops
    // the recorder instead.
    let rotates = settings.keep_hours > 0 || settings.keep_mib > 0;
    let mut total = space.open + files.iter().map(|f| f.bytes).sum::<u64>();
    let mut free = space.free;
    let mut delete = Vec::new();
    for file in files {
        let old = settings.keep_hours > 0 && file.age > age_max;
        let over = settings.keep_mib > 0 && total > bytes_max;
        let tight = rotates && free < free_min;
        if old || over || tight {
            total -= file.bytes;
            free = free.saturating_add(file.bytes);
            delete.push(file.name);
        }
    }
    Verdict { delete, full: free < free_min }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Ten recordings of 10 MiB, one an hour, `0` the oldest.
    fn check(settings: Settings, space: Space, expect: &[&str], full: bool) {
        let files = (0..10).rev().map(|n| Kept {
            name: n.to_string(),
            bytes: 10 * MIB,
            age: Duration::from_secs(3600 * (10 - n) - 1800),
        });
        let verdict = judge(files.collect(), space, &settings);
        assert_eq!((verdict.delete.as_slice(), verdict.full), (&expect.map_owned()[..], full));
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|s| (*s).to_owned()).collect()
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_must() {
        let roomy = Space { open: 0, free: 1000 * MIB };
        let settings = Settings { keep_free_mib: 100, ..Settings::default() };
        check(settings, roomy, &[], false);
        check(Settings { keep_hours: 7, ..settings }, roomy, &["0", "1", "2"], false);
        check(Settings { keep_mib: 80, ..settings }, roomy, &["0", "1"], false);
        let open = Space { open: 15 * MIB, ..roomy };
        check(Settings { keep_mib: 80, ..settings }, open, &["0", "1", "2", "3"], false);
    }

    #[test]
    fn free_space_is_made_only_where_rotation_was_agreed_to() {
        let tight = Space { open: 0, free: 75 * MIB };
        let settings = Settings { keep_free_mib: 100, ..Settings::default() };
        check(settings, tight, &[], true);
        check(Settings { keep_hours: 100, ..settings }, tight, &["0", "1", "2"], false);
        let hopeless = Space { open: 0, free: 0 };
        let all: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let settings = Settings { keep_hours: 100, keep_free_mib: 200, ..settings };
        check(settings, hopeless, &all, true);
    }
}
