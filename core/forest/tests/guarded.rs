//! The tests of equality once more, where every allocation ends at memory that may not be touched: a kernel that reads
//! or writes one byte too many dies. Sanitizers do not look into gathers, which are most of what the kernels read.
//!
//! Bytes before an allocation, and room that a vector has and does not use, are not guarded.
#![cfg(unix)]

#[path = "equality.rs"]
mod equality;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

/// A multiple of every usual page.
const PAGE: usize = 16_384;
/// Smaller ones are nothing that a kernel reads, and a process may not have as many mappings as there are of them.
const LEAST: usize = 256;

struct Guarded;

fn is_guarded(layout: Layout) -> bool {
    layout.size() >= LEAST && layout.align() <= PAGE
}

/// Where an allocation lies in its mapping, so that it ends at the closed page.
fn offset(layout: Layout) -> usize {
    (layout.size().next_multiple_of(PAGE) - layout.size()) & !(layout.align() - 1)
}

// SAFETY: memory comes from the system, is as large and as aligned as asked for, and is given back whole.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_guarded(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let pages = layout.size().next_multiple_of(PAGE);
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: the mapping is new; its last page is ours to close.
        unsafe {
            let base = libc::mmap(null_mut(), pages + PAGE, access, kind, -1, 0);
            if base == libc::MAP_FAILED || libc::mprotect(base.byte_add(pages), PAGE, libc::PROT_NONE) != 0 {
                return null_mut();
            }
            base.byte_add(offset(layout)).cast()
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !is_guarded(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.dealloc(pointer, layout) };
        }
        // SAFETY: `alloc` mapped as much, and gave out what lies at this offset.
        unsafe { libc::munmap(pointer.sub(offset(layout)).cast(), layout.size().next_multiple_of(PAGE) + PAGE) };
    }
}

#[global_allocator]
static GUARDED: Guarded = Guarded;
