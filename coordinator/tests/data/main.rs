//! The data room from outside: files in, rows, reports and refusals out.
//!
//! `house` a run's folders for a test · `walk` forms, rows and masks · `formats` every form there is ·
//! `forms` those of other tools · `sources` metadata, and what was prepared before · `split` rows that
//! are kept out · `malformed`, `refusals` what is refused · `neighbours` example data of other tools · `marks` what is
//! not to be learned ·
//! `troubles` what their users met · `golden`, `templates` token ids of
//! transformers · `doctor` what a person should look at · `privacy`, `masked` personal data ·
//! `dialogues` plain text ·
//! `files` files as people have them · `tables` workbooks and saved data sets ·
//! `continued` a preparation that is killed · `floors` who imports whom. Not here: files nobody meant to write (`data_fuzz`).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod continued;
mod dialogues;
mod doctor;
mod files;
mod floors;
mod formats;
mod forms;
mod golden;
mod house;
mod malformed;
mod marks;
mod masked;
mod neighbours;
mod plain;
mod privacy;
mod refusals;
mod sources;
mod split;
mod tables;
mod templates;
mod troubles;
mod views;
mod walk;
