//! Joins datagrams for the same viewer, so that the kernel takes them in one call (UDP GSO).

use super::error::Path;

/// Most bytes of one call: the length field of UDP has 16 bits, and headers need some.
const CALL_BYTES_MAX: usize = 60_000;

/// Datagrams of one path that wait for one call. All have the same size; the last may be shorter.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    path: Option<Path>,
    bytes: Vec<u8>,
    size: usize,
    count: usize,
    count_max: usize,
    /// The last datagram was shorter: nothing can follow it.
    is_complete: bool,
}

/// What one call sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) path: Path,
    pub(super) bytes: &'a [u8],
    /// Size of each datagram but the last; `None` for a single one.
    pub(super) size: Option<usize>,
}

impl Outbox {
    /// `count_max`: datagrams that the kernel takes at once.
    pub(super) fn new(count_max: usize) -> Self {
        Self { count_max, ..Self::default() }
    }

    /// Adds a datagram; calls `send` when others must go first.
    pub(super) fn push(&mut self, path: Path, datagram: &[u8], send: impl FnMut(Call<'_>)) {
        let fits = self.path == Some(path)
            && !self.is_complete
            && self.count < self.count_max
            && datagram.len() <= self.size
            && self.bytes.len() + datagram.len() <= CALL_BYTES_MAX;
        if !fits {
            self.flush(send);
            self.path = Some(path);
            self.size = datagram.len();
        }
        self.is_complete = datagram.len() < self.size;
        self.bytes.extend_from_slice(datagram);
        self.count += 1;
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, mut send: impl FnMut(Call<'_>)) {
        if let Some(path) = self.path.take() {
            let size = (self.count > 1).then_some(self.size);
            send(Call { path, bytes: &self.bytes, size });
        }
        self.bytes.clear();
        self.count = 0;
        self.is_complete = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_size_and_path_are_joined() {
        let path = |port: u16| Path {
            local: ([192, 0, 2, 1], 5).into(),
            remote: ([192, 0, 2, 2], port).into(),
            is_tcp: false,
        };
        let mut outbox = Outbox::new(3);
        let mut calls = Vec::new();
        let mut send =
            |call: Call<'_>| calls.push((call.path.remote.port(), call.bytes.len(), call.size));
        for (port, len) in
            [(1, 9), (1, 9), (1, 4), (1, 4), (2, 9), (2, 10), (2, 10), (2, 10), (2, 10)]
        {
            outbox.push(path(port), &vec![0; len], &mut send);
        }
        outbox.flush(&mut send);
        outbox.flush(&mut send);
        let expect =
            [(1, 22, Some(9)), (1, 4, None), (2, 9, None), (2, 30, Some(10)), (2, 10, None)];
        assert_eq!(calls, expect);
    }
}
