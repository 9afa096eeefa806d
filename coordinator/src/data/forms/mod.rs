//! The forms that data comes in: files to conversations.
//!
//! From below: `at` where a sample stands · `parsed`, `object` what a reader gives · `columns` known
//! names, `renaming` the user's own · `ambiguity` what can be read in two ways · `pairs`, `turns`,
//! `tokens` one object, `by_keys` whichever of them it is · `batches` a file that is not read whole ·
//! `dialogue` (with `roles`), `json`, `json_array`, `table` (with `cells`, `header`; `sheet` with `shown` for workbooks), `parquet`, `arrow`
//! (`quietly`) one file, `by_ending`
//! whichever of them it is · `metadata` rows that point at files.
//! Keeps: texts are taken unchanged; what can be read in two ways is refused. Not here: how sure it is
//! what a file is (`detection`).

pub(crate) mod ambiguity;
mod arrow;
mod at;
mod batches;
pub(crate) mod by_ending;
mod by_keys;
mod cells;
mod columns;
mod dialogue;
mod header;
pub(crate) mod json;
pub(crate) mod json_array;
pub(crate) mod metadata;
mod object;
mod pairs;
mod parquet;
mod parsed;
mod quietly;
mod renaming;
mod roles;
mod sheet;
mod shown;
mod table;
mod tokens;
mod turns;

pub(crate) use batches::Batches;
pub(crate) use columns::knows_columns;
pub(crate) use parsed::Parsed;
pub(crate) use renaming::Renaming;
