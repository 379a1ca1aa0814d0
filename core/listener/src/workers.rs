//! Threads for work that would hold up single predictions. Work is done in steps, each behind the others that wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A step of some work; what is left of it comes back.
pub(crate) trait Step: Send {
    fn step(self: Box<Self>) -> Option<Box<dyn Step>>;
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<Box<dyn Step>>,
    ended: bool,
}

/// A fixed number of threads, which end when this is dropped.
pub(crate) struct Workers {
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let waiting = Arc::<(Mutex<Waiting>, Condvar)>::default();
        let start = |number| {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(format!("rows-{number}")).spawn(move || work(&waiting))
        };
        let threads = (0..threads.max(1)).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { waiting, threads })
    }

    pub(crate) fn add(&self, work: Box<dyn Step>) {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).steps.push_back(work);
        self.waiting.1.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.waiting.1.notify_all();
        for thread in self.threads.drain(..) {
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
            let rest = step.step();
            held = waiting.lock().unwrap_or_else(PoisonError::into_inner);
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
    }
}
