//! Settings of glibc's allocator.

/// Most heaps ("arenas") for all threads. Media threads start and end by the hundred; with glibc's
/// default of eight heaps per core, memory freed in one heap is not reused by others and never
/// returned.
const ARENAS_MAX: i32 = 4;

/// Limits the number of heaps, unless `$MALLOC_ARENA_MAX` does. Only useful at start-up: existing
/// heaps stay.
pub fn bound_arenas() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_some() {
        return;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_arenas();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "mallopt(3) takes two numbers and has no safe wrapper")]
fn set_arenas() {
    // SAFETY: no pointers; every glibc since 2.10 supports M_ARENA_MAX, and any positive number is
    // a valid value.
    let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX) };
    debug_assert_eq!(set, 1, "mallopt refuses M_ARENA_MAX");
}
