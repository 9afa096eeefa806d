//! A worker ends because it was told to, or because something happened to it: never by a contradiction, and
//! never because it gave a coordinator up that was there.

use shared::error::Code;
use worker::session::Ending;

use super::{Suspects, Violation};

pub(super) fn ended(suspects: &Suspects, machine: usize, ending: &Ending) -> Result<(), Violation> {
    match ending {
        Ending::Failed(error) if error.code == Code::Internal => Err(Violation::new(
            "no internal errors",
            format!("m{machine}: {error:?}"),
        )),
        // Whoever was sent away was judged when it was.
        // One that never joined found nobody there: it was started too soon, and says so.
        Ending::Failed(error) if error.code == Code::Unreachable => Ok(()),
        Ending::Failed(error) if !suspects.explains(machine) && error.code != Code::Evicted => {
            Err(Violation::new(
                "nobody gives up",
                format!("m{machine}, which nothing struck: {error:?}"),
            ))
        }
        _ => Ok(()),
    }
}
