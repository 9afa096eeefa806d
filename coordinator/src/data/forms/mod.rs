//! The forms that data comes in: files to conversations.
//!
//! From below: `at` where a sample stands · `parsed`, `object` what a reader gives · `columns` known
//! names, `renaming` the user's own · `ambiguity` what can be read in two ways · `unique` JSON whose keys
//! stand once · `marks` what is not to be learned, `preference` which answers are better · `parts`, `calls`
//! what a turn is made of · `speakers` who says it · `pairs`, `turns`, `plain`, `tokens` one object, `by_keys`
//! whichever of them it is · `batches` a file that is not read whole ·
//! `dialogue`, `json`, `json_array`, `table` (with `cells`, `header`, `row_marks`; `sheet` with `shown` for workbooks), `parquet`, `arrow`
//! (`quietly`) one file, `by_ending` whichever of them it is · `metadata` rows that point at files.
//! Keeps: texts are taken unchanged; what can be read in two ways is refused. Not here: how sure it is
//! what a file is (`detection`).

pub(crate) mod ambiguity;
mod arrow;
mod at;
mod batches;
pub(crate) mod by_ending;
mod by_keys;
mod calls;
mod cells;
mod columns;
mod dialogue;
mod header;
pub(crate) mod json;
pub(crate) mod json_array;
mod marks;
pub(crate) mod metadata;
mod object;
mod pairs;
mod parquet;
mod parsed;
mod parts;
pub(crate) mod plain;
mod preference;
mod quietly;
mod renaming;
mod row_marks;
mod sheet;
mod shown;
mod speakers;
mod table;
mod tokens;
mod turns;
mod unique;

pub(crate) use batches::Batches;
pub(crate) use columns::knows_columns;
pub(crate) use parsed::Parsed;
pub(crate) use renaming::Renaming;
