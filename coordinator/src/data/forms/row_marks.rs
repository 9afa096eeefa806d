//! Columns of a table that say of a row that it is not to be learned.

use shared::error::Result;

use super::at::At;
use super::by_keys;
use super::columns::Columns;
use super::renaming::Renaming;
use crate::data::file_report::FileReport;

/// The columns, with their places.
pub(super) struct RowMarks(Vec<(usize, String)>);

impl RowMarks {
    pub(super) fn of(header: &[String], columns: &Columns) -> Self {
        let used = columns.used(true);
        let names = header.iter().map(|name| name.trim().to_owned()).enumerate();
        let marks = names
            .filter(|(index, name)| !used.contains(index) && by_keys::says_what_is_learned(name));
        Self(marks.collect())
    }

    /// Takes them out of what a file's report calls unused.
    pub(super) fn are_used(&self, report: &mut FileReport) {
        let is = |name: &String| self.0.iter().any(|(_, mark)| mark == name);
        report.unused.retain(|name| !is(name));
    }

    /// Which of a row's cells says that the row is not to be learned.
    pub(super) fn left_out(
        &self,
        cells: &[String],
        renaming: Renaming<'_>,
        at: At<'_>,
    ) -> Result<Option<String>> {
        let cell = |(index, name): &(usize, String)| {
            let text = cells.get(*index).filter(|cell| !cell.is_empty())?;
            Some((name.clone(), text.as_str().into()))
        };
        by_keys::left_out(self.0.iter().filter_map(cell).collect(), renaming, at)
    }
}
