//! A worker ends because it was told to, or because it lost everybody: never by a contradiction.

use shared::error::Code;
use worker::session::Ending;

use super::Violation;

pub(super) fn ended(machine: usize, ending: &Ending) -> Result<(), Violation> {
    match ending {
        Ending::Failed(error) if error.code == Code::Internal => Err(Violation::new(
            "no internal errors",
            format!("m{machine}: {error:?}"),
        )),
        _ => Ok(()),
    }
}
