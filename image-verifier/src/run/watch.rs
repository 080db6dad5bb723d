//! Who learns how an answer is coming along, so as to see to it that there is one in time.

use std::time::Duration;

use super::Answer;

/// Who sees to it that there is an answer in time, whatever becomes of the one that is worked out.
pub trait Watch {
    /// There is so much time since the process began.
    fn time(&self, time: Duration);

    /// Nothing that enforces is left to decide: the pull passes, with this answer if there is no time
    /// for a better one. May be called again with more to say.
    fn passes(&self, answer: &Answer);
}

/// Who wants to know the time alone.
impl<T: Fn(Duration)> Watch for T {
    fn time(&self, time: Duration) {
        self(time);
    }

    fn passes(&self, _: &Answer) {}
}
