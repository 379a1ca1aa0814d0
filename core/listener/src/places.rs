//! What the server takes on, counted for both sides together: every queue is bounded, and what does not fit is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Most of each kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Unary calls in hand.
    pub calls: usize,
    /// Open prediction streams.
    pub streams: usize,
    /// Batch rows that wait or are computed.
    pub rows: usize,
}

/// Work in hand.
#[derive(Debug)]
pub struct Places {
    most: Most,
    calls: AtomicUsize,
    streams: AtomicUsize,
    rows: AtomicUsize,
    draining: AtomicBool,
}

impl Places {
    /// Places for that much work.
    #[must_use]
    pub fn new(most: Most) -> Self {
        let none = AtomicUsize::default;
        Self { most, calls: none(), streams: none(), rows: none(), draining: AtomicBool::new(false) }
    }

    /// Takes a place for a call; false when there is none.
    pub fn take_call(&self) -> bool {
        take(&self.calls, 1, self.most.calls)
    }

    /// Whether there is no place for a call.
    #[must_use]
    pub fn full(&self) -> bool {
        self.calls.load(SeqCst) >= self.most.calls
    }

    /// Gives it back.
    pub fn leave_call(&self) {
        self.calls.fetch_sub(1, SeqCst);
    }

    /// Takes a place for a stream; false when there is none.
    pub fn take_stream(&self) -> bool {
        take(&self.streams, 1, self.most.streams)
    }

    /// Gives it back.
    pub fn leave_stream(&self) {
        self.streams.fetch_sub(1, SeqCst);
    }

    /// Takes places for rows; false when they do not fit.
    pub fn take_rows(&self, rows: usize) -> bool {
        take(&self.rows, rows, self.most.rows)
    }

    /// Gives them back.
    pub fn leave_rows(&self, rows: usize) {
        self.rows.fetch_sub(rows, SeqCst);
    }

    /// Calls, streams and rows in hand.
    #[must_use]
    pub fn held(&self) -> (usize, usize, usize) {
        (self.calls.load(SeqCst), self.streams.load(SeqCst), self.rows.load(SeqCst))
    }

    /// From now on new work is refused.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(SeqCst)
    }
}

fn take(held: &AtomicUsize, more: usize, most: usize) -> bool {
    let fits = |now: usize| now.checked_add(more).filter(|&then| then <= most);
    held.fetch_update(SeqCst, SeqCst, fits).is_ok()
}

/// A place that is given back when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    leave: fn(&Places),
}

impl Place {
    /// For a call; none when there is no place.
    pub(crate) fn call(places: &Arc<Places>) -> Option<Self> {
        places.take_call().then(|| Self { places: Arc::clone(places), leave: Places::leave_call })
    }

    /// For a stream; none when there is no place.
    pub(crate) fn stream(places: &Arc<Places>) -> Option<Self> {
        places.take_stream().then(|| Self { places: Arc::clone(places), leave: Places::leave_stream })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.leave)(&self.places);
    }
}

/// Places of rows that are given back when this is dropped.
pub(crate) struct Rows {
    places: Arc<Places>,
    rows: usize,
}

impl Rows {
    /// None when they do not fit.
    pub(crate) fn take(places: &Arc<Places>, rows: usize) -> Option<Self> {
        places.take_rows(rows).then(|| Self { places: Arc::clone(places), rows })
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.places.leave_rows(self.rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_comes_free_again() {
        let places = Arc::new(Places::new(Most { calls: 1, streams: 1, rows: 10 }));
        let held = Place::call(&places);
        assert!(held.is_some() && places.full() && Place::call(&places).is_none());
        let streaming = Place::stream(&places);
        assert!(streaming.is_some() && Place::stream(&places).is_none());
        let rows = Rows::take(&places, 7);
        assert!(rows.is_some() && Rows::take(&places, 4).is_none() && Rows::take(&places, usize::MAX).is_none());
        assert_eq!(places.held(), (1, 1, 7));
        drop((held, streaming, rows));
        assert_eq!(places.held(), (0, 0, 0));
        assert!(Rows::take(&places, 10).is_some());
    }
}
