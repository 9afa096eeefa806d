//! Integers of the step in work: a buffer per micro-batch that is not credited, and the sum of what counts.
//!
//! In: quantized gradients. Out: one vector to be reduced.
//! Keeps: a micro-batch enters the sum once, and only when it is credited; the first one is the sum. It is shared
//! read-only with a reduce in flight; a later credit goes into a copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::error::{Code, Error, Result};
use shared::ids::MicroBatchId;
use shared::numerics;

/// Committed numbers that travel behind the gradient in the same vector, by their index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Sum of the cross entropies, in units of 2^-40 nats.
    Loss = 0,
    /// Number of units that the loss runs over.
    LossUnits = 1,
    /// Number of micro-batches with a value that was not finite or out of range.
    Overflows = 2,
    /// Number of micro-batches in the sum.
    MicroBatches = 3,
}

/// Number of extras behind the gradient.
pub const EXTRAS: usize = 4;

/// Most buffers that a pool keeps for later.
const SPARE: usize = 4;

/// The integers of one step, or of one evaluation, on one worker.
#[derive(Debug)]
pub struct Sums {
    /// Integers of micro-batches that were computed here and are not credited yet.
    uncredited: BTreeMap<MicroBatchId, Vec<i64>>,
    /// Sum of what is credited to this worker; none while nothing is.
    sum: Option<Arc<Vec<i64>>>,
    pool: BufferPool,
}

/// Buffers of one length that go round between the device, the sums and their totals.
#[derive(Clone, Debug)]
pub struct BufferPool {
    length: usize,
    free: Arc<Mutex<Vec<Vec<i64>>>>,
}

impl BufferPool {
    /// A pool for adapters of `parameters` elements.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            length: parameters + EXTRAS,
            free: Arc::default(),
        }
    }

    /// A buffer of the pool or a new one; its content is arbitrary.
    #[must_use]
    pub fn take(&self) -> Vec<i64> {
        let free = self.lock().pop();
        free.unwrap_or_else(|| vec![0; self.length])
    }

    /// Takes a buffer back, unless it has another length or there are enough.
    pub fn put(&self, buffer: Vec<i64>) {
        let mut free = self.lock();
        if buffer.len() == self.length && free.len() < SPARE {
            free.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<i64>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    /// Sums for adapters of `parameters` elements, with the extras behind them.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            uncredited: BTreeMap::new(),
            sum: None,
            pool: BufferPool::new(parameters),
        }
    }

    /// Sums of vectors of this length, without the meaning of extras.
    #[must_use]
    pub fn of_length(length: usize) -> Self {
        Self {
            uncredited: BTreeMap::new(),
            sum: None,
            pool: BufferPool {
                length,
                free: Arc::default(),
            },
        }
    }

    /// Keeps the integers of a micro-batch aside until they are credited.
    pub fn keep(&mut self, micro_batch: MicroBatchId, integers: Vec<i64>) {
        if let Some(old) = self.uncredited.insert(micro_batch, integers) {
            self.pool.put(old);
        }
    }

    /// Moves the integers of a micro-batch into the sum.
    ///
    /// # Errors
    /// [`Code::Internal`] when the micro-batch was never kept, or was credited already.
    pub fn credit(&mut self, micro_batch: MicroBatchId) -> Result<()> {
        let integers = self.uncredited.remove(&micro_batch).ok_or_else(|| {
            Error::new(
                Code::Internal,
                format!("micro-batch {micro_batch} was never computed here"),
            )
        })?;
        match &mut self.sum {
            None => self.sum = Some(Arc::new(integers)),
            Some(sum) => {
                let sum: &mut Vec<i64> = Arc::make_mut(sum);
                numerics::accumulate(sum, &integers);
                self.pool.put(integers);
            }
        }
        Ok(())
    }

    /// Forgets micro-batches that were kept and not credited.
    pub fn drop_kept(&mut self, micro_batches: &[MicroBatchId]) {
        for micro_batch in micro_batches {
            if let Some(buffer) = self.uncredited.remove(micro_batch) {
                self.pool.put(buffer);
            }
        }
    }

    /// Changes one bit of the sum, as damaged memory does.
    pub fn flip_bit(&mut self) {
        let mut sum = self.sum();
        if let Some(first) = Arc::make_mut(&mut sum).first_mut() {
            *first ^= 1;
        }
        self.sum = Some(sum);
    }

    /// Lets buffers go back to the pool that others take them from.
    pub fn share(&mut self, pool: BufferPool) {
        self.pool = pool;
    }

    /// This worker's contribution to a reduce: the sum, or zeros where nothing is credited.
    #[must_use]
    pub fn sum(&mut self) -> Arc<Vec<i64>> {
        let zeros = || {
            let mut zeros = self.pool.take();
            zeros.fill(0);
            Arc::new(zeros)
        };
        Arc::clone(self.sum.get_or_insert_with(zeros))
    }

    /// Forgets the step: kept integers and the sum.
    pub fn clear(&mut self) {
        while let Some((_, buffer)) = self.uncredited.pop_first() {
            self.pool.put(buffer);
        }
        // A reduce in flight keeps what it was given.
        if let Some(sum) = self.sum.take().and_then(Arc::into_inner) {
            self.pool.put(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_credited_micro_batches_count_and_only_once() {
        let mut sums = Sums::new(1);
        sums.keep(MicroBatchId(0), vec![5, 0, 0, 0, 1]);
        sums.keep(MicroBatchId(1), vec![7, 0, 0, 0, 1]);
        sums.credit(MicroBatchId(1)).unwrap();
        assert_eq!(*sums.sum(), [7, 0, 0, 0, 1]);
        assert!(sums.credit(MicroBatchId(1)).is_err());
    }

    #[test]
    fn who_has_nothing_gives_zeros() {
        let mut sums = Sums::new(1);
        sums.pool.put(vec![3; 5]);
        assert_eq!(*sums.sum(), [0; 5]);
        sums.keep(MicroBatchId(0), vec![5, 0, 0, 0, 1]);
        sums.credit(MicroBatchId(0)).unwrap();
        assert_eq!(*sums.sum(), [5, 0, 0, 0, 1]);
    }

    #[test]
    fn a_reduce_in_flight_keeps_what_it_was_given() {
        let mut sums = Sums::new(1);
        sums.keep(MicroBatchId(0), vec![5, 0, 0, 0, 1]);
        let in_flight = sums.sum();
        sums.credit(MicroBatchId(0)).unwrap();
        assert_eq!((in_flight[0], sums.sum()[0]), (0, 5));
    }

    #[test]
    fn a_new_step_begins_with_nothing() {
        let mut sums = Sums::new(1);
        sums.keep(MicroBatchId(0), vec![5, 0, 0, 0, 1]);
        sums.credit(MicroBatchId(0)).unwrap();
        sums.keep(MicroBatchId(1), vec![6, 0, 0, 0, 1]);
        sums.clear();
        assert_eq!(*sums.sum(), [0; 5]);
        assert!(sums.credit(MicroBatchId(1)).is_err());
    }
}
