//! Threads for work that would hold up single predictions. Work is done in steps, each behind the others that wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use jobcast_engine::guarded;

/// A step of some work; what is left of it comes back.
pub(crate) trait Step: Send {
    fn step(self: Box<Self>) -> Option<Box<dyn Step>>;
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<Box<dyn Step>>,
    ended: bool,
}

/// A fixed number of threads.
pub(crate) struct Workers {
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let waiting = Arc::<(Mutex<Waiting>, Condvar)>::default();
        let start = |number| {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(format!("rows-{number}")).spawn(move || work(&waiting))
        };
        let threads = (0..threads.max(1)).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { waiting, threads: Mutex::new(threads) })
    }

    pub(crate) fn add(&self, work: Box<dyn Step>) {
        let mut held = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.ended {
            // Dropped without the lock, since it may hold the last of this.
            drop(held);
            return drop(work);
        }
        held.steps.push_back(work);
        drop(held);
        self.waiting.1.notify_one();
    }

    /// Ends the threads after their steps, forgets what waits, and waits for them. None of them may call this, so it is
    /// no part of a drop, which the last step to hold this might do.
    pub(crate) fn end(&self) {
        let mut held = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.ended = true;
        let forgotten = std::mem::take(&mut held.steps);
        drop(held);
        drop(forgotten);
        self.waiting.1.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has ended.
            let _ = thread.join();
        }
    }
}

fn work((waiting, bell): &(Mutex<Waiting>, Condvar)) {
    let mut held = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if held.ended {
            return;
        }
        if let Some(step) = held.steps.pop_front() {
            drop(held);
            // What panics ends its own call; the thread has others to serve.
            let rest = guarded(|| step.step()).unwrap_or(None);
            held = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if held.ended {
                drop(held);
                return drop(rest);
            }
            held.steps.extend(rest);
        } else {
            held = bell.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Steps(char, usize, mpsc::Sender<char>);

    impl Step for Steps {
        fn step(mut self: Box<Self>) -> Option<Box<dyn Step>> {
            self.2.send(self.0).unwrap();
            self.1 -= 1;
            (self.1 > 0).then_some(self)
        }
    }

    #[test]
    fn works_take_turns() {
        let workers = Workers::new(1).unwrap();
        let (sender, receiver) = mpsc::channel();
        let both = [('a', 3), ('b', 2)].map(|(name, steps)| Steps(name, steps, sender.clone()));
        let mut held = workers.waiting.0.lock().unwrap();
        held.steps.extend(both.map(|steps| Box::new(steps) as Box<dyn Step>));
        drop((held, sender));
        workers.waiting.1.notify_one();
        assert_eq!(receiver.iter().collect::<String>(), "ababa");
        workers.end();
    }

    struct Panics;

    impl Step for Panics {
        fn step(self: Box<Self>) -> Option<Box<dyn Step>> {
            panic!("a test asked for it");
        }
    }

    #[test]
    fn a_panic_leaves_the_thread_to_others() {
        let workers = Workers::new(1).unwrap();
        let (sender, receiver) = mpsc::channel();
        workers.add(Box::new(Panics));
        workers.add(Box::new(Steps('a', 1, sender)));
        assert_eq!(receiver.recv(), Ok('a'));
        workers.end();
    }

    /// Holds what it is a step of, as work holds its listener.
    struct Holds(#[allow(dead_code, reason = "it is held")] Arc<Workers>, mpsc::Sender<()>, mpsc::Receiver<()>);

    impl Step for Holds {
        fn step(self: Box<Self>) -> Option<Box<dyn Step>> {
            let _ = (self.1.send(()), self.2.recv());
            Some(self)
        }
    }

    #[test]
    fn the_last_step_to_hold_them_may_let_them_go() {
        let workers = Arc::new(Workers::new(1).unwrap());
        let ((starts, started), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        workers.add(Box::new(Holds(Arc::clone(&workers), starts, goes_on)));
        started.recv().unwrap();
        let waiting = Arc::downgrade(&workers);
        drop(go_on);
        thread::spawn(move || workers.end()).join().unwrap();
        assert!(waiting.upgrade().is_none(), "no step is left that holds them");
    }
}
