use crate::model::{App, Function, Route, Timestamp, Trigger};
use crate::store::{Change, Verdict};

/// A row that remembers when it last changed.
pub(super) trait Dated: Clone + PartialEq {
    fn updated_at(&mut self) -> &mut Timestamp;
}

macro_rules! dated {
    ($($row:ty),*) => {
        $(impl Dated for $row {
            fn updated_at(&mut self) -> &mut Timestamp {
                &mut self.updated_at
            }
        })*
    };
}

dated!(App, Route, Function, Trigger);

/// What became of a row that was shown to a change.
pub(super) enum Revised<T> {
    /// The row to write in place of the stored one.
    Changed(T),
    /// The change was made, and everything is as it was.
    Same,
    Abandoned,
}

/// Shows a copy of `stored` to `change`.
pub(super) fn revise<T: Dated>(stored: &T, change: Change<'_, T>) -> Revised<T> {
    let mut row = stored.clone();
    if change(&mut row) == Verdict::Abandon {
        return Revised::Abandoned;
    }
    if row == *stored {
        return Revised::Same;
    }
    let at = row.updated_at();
    // The wall clock may step back; a client that compares times must still see a change.
    *at = Timestamp::now().max(*at);
    Revised::Changed(row)
}
