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

/// The row to write in place of `stored`, or `None` if it stays as it is.
pub(super) fn revise<T: Dated>(stored: &T, change: Change<'_, T>) -> Option<T> {
    let mut row = stored.clone();
    if change(&mut row) == Verdict::Abandon || row == *stored {
        return None;
    }
    let at = row.updated_at();
    // The wall clock may step back; a client that compares times must still see a change.
    *at = Timestamp::now().max(*at);
    Some(row)
}
