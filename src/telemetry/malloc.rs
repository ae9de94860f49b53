//! What glibc's allocator is told.

/// Heaps ("arenas") that threads may spread over. Media threads come and go by the hundred; with
/// eight heaps per core, glibc's default, what one frees is of no use to the others and is never
/// given back.
const ARENAS_MAX: i32 = 4;

/// Bounds the number of heaps, unless `$MALLOC_ARENA_MAX` does. Only for the start of the program:
/// heaps that exist stay.
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
    // SAFETY: no pointers; M_ARENA_MAX is known to every glibc since 2.10, and any positive number
    // is a valid value of it.
    let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX) };
    debug_assert_eq!(set, 1, "mallopt refuses M_ARENA_MAX");
}
