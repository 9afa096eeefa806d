//! Fixed prompts that are answered at every evaluation, and how the answers travel.
//!
//! An answer is one micro-batch of the evaluation. It has `max_new_tokens` integers of its own
//! behind those of the sets: id + 1 of each token, 0 behind the last. Nobody else writes them, so the
//! total of an evaluation holds every answer, summed and agreed on like the losses.

/// Prompts as token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// The ids of each, through the chat template.
    pub ids: Vec<Vec<u32>>,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
    /// Longest answer, in tokens.
    pub max_new_tokens: u32,
}

impl Prompts {
    /// Integers that the answers take.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.ids.len() * self.longest()
    }

    fn longest(&self) -> usize {
        usize::try_from(self.max_new_tokens).unwrap_or(usize::MAX)
    }

    /// Writes the answer to prompt `index` into the integers of the answers.
    pub fn write(&self, index: usize, answer: &[u32], slots: &mut [i64]) {
        let own = slots.iter_mut().skip(index * self.longest());
        for (slot, id) in own.take(self.longest()).zip(answer) {
            *slot = i64::from(*id) + 1;
        }
    }

    /// The answers that these integers hold, in order of the prompts.
    #[must_use]
    pub fn answers(&self, slots: &[i64]) -> Vec<Vec<u32>> {
        let token = |slot: &i64| slot.checked_sub(1).and_then(|id| u32::try_from(id).ok());
        slots
            .chunks(self.longest().max(1))
            .take(self.ids.len())
            .map(|answer| answer.iter().map_while(token).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_apart_is_read_from_the_sum() {
        let prompts = Prompts {
            ids: vec![vec![1], vec![2], vec![3]],
            stop: vec![],
            max_new_tokens: 4,
        };
        let answers = [vec![0, 7, u32::MAX], vec![], vec![5, 5, 5, 5]];
        let mut total = vec![0i64; prompts.slots()];
        for (index, answer) in answers.iter().enumerate() {
            let mut slots = vec![0i64; prompts.slots()];
            prompts.write(index, answer, &mut slots);
            for (sum, slot) in total.iter_mut().zip(slots) {
                *sum += slot;
            }
        }
        assert_eq!(total.len(), 12);
        assert_eq!(prompts.answers(&total), answers);
    }

    #[test]
    fn without_prompts_there_is_no_answer() {
        assert_eq!(Prompts::default().slots(), 0);
        assert!(Prompts::default().answers(&[]).is_empty());
    }
}
