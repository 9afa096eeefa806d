//! Faults on purpose, for the tests that prove what a fault costs.
//!
//! In: `LORA_FAULTS`, such as `reduce@3=kill,compute@2=slow:10`: a phase, a step (or `*`), what
//! happens there. Out: nothing at all when the variable is not set; otherwise the process kills,
//! stops or terminates itself, or the caller is told to hang, be slow or damage a bit.
//! Keeps: each fault strikes once, except `slow`; each is said on stderr before it strikes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::ids::Step;

/// Name of the variable.
pub const VARIABLE: &str = "LORA_FAULTS";

/// How often a slow thread shows that it goes on.
const PIECE: Duration = Duration::from_millis(50);

/// What the caller has to do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Never go on.
    Hang,
    /// Take so many times as long.
    Slow(u32),
    /// Damage one bit.
    Flip,
    /// Fail as if the storage were full.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Signal(i32, &'static str),
    Effect(Effect),
}

#[derive(Clone, Debug)]
struct Planned {
    phase: String,
    step: Option<Step>,
    action: Action,
    struck: bool,
}

/// The faults of one process.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Mutex<Vec<Planned>>>>);

impl Faults {
    /// What the environment asks for; usually nothing.
    ///
    /// # Errors
    /// [`Code::Usage`] when it is not understood: a test must not pass because of a typing error.
    pub fn from_environment() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Self::parse(&text),
            _ => Ok(Self::default()),
        }
    }

    /// Reads a list of faults.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let planned = text.split(',').map(one).collect::<Result<Vec<_>>>()?;
        Ok(Self(Some(Arc::new(Mutex::new(planned)))))
    }

    /// A place where a fault may strike.
    #[must_use]
    pub fn at(&self, phase: &str, step: Step) -> Option<Effect> {
        let planned = self.0.as_ref()?;
        let action = {
            let mut planned = planned.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |p: &&mut Planned| {
                !p.struck && p.phase == phase && p.step.is_none_or(|s| s == step)
            };
            let found = planned.iter_mut().find(fits)?;
            found.struck = !matches!(found.action, Action::Effect(Effect::Slow(_)));
            found.action
        };
        match action {
            Action::Signal(number, name) => {
                eprintln!("fault: {name} at {phase} of step {step}");
                // SAFETY: `kill` takes two numbers and touches no memory; the process is this one.
                unsafe { libc::kill(libc::getpid(), number) };
                None
            }
            Action::Effect(effect) => {
                if !matches!(effect, Effect::Slow(_)) {
                    eprintln!("fault: {effect:?} at {phase} of step {step}");
                }
                Some(effect)
            }
        }
    }

    /// Hangs or slows the calling thread when a fault says so; other effects are returned.
    #[must_use]
    pub fn hold(&self, phase: &str, step: Step, took: Duration) -> Option<Effect> {
        self.hold_telling(phase, step, took, || ())
    }

    /// [`Self::hold`], but a slow thread calls `goes_on` again and again: it is slow, and not hung.
    #[must_use]
    pub fn hold_telling(
        &self,
        phase: &str,
        step: Step,
        took: Duration,
        goes_on: impl Fn(),
    ) -> Option<Effect> {
        match self.at(phase, step) {
            Some(Effect::Hang) => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            Some(Effect::Slow(times)) => {
                let mut left = took * times.saturating_sub(1);
                while !left.is_zero() {
                    let piece = left.min(PIECE);
                    std::thread::sleep(piece);
                    left -= piece;
                    goes_on();
                }
                None
            }
            other => other,
        }
    }
}

fn one(text: &str) -> Result<Planned> {
    let wrong = || {
        Error::new(
            Code::Usage,
            format!("{VARIABLE}: `{text}` is not PHASE@STEP=ACTION"),
        )
        .fix("actions are kill, stop, term, hang, slow:N, flip, full; a step is a number or *")
    };
    let (place, action) = text.trim().split_once('=').ok_or_else(wrong)?;
    let (phase, step) = place.split_once('@').ok_or_else(wrong)?;
    let step = match step {
        "*" => None,
        number => Some(Step(number.parse().map_err(|_| wrong())?)),
    };
    let action = match action {
        "kill" => Action::Signal(libc::SIGKILL, "kill"),
        "stop" => Action::Signal(libc::SIGSTOP, "stop"),
        "term" => Action::Signal(libc::SIGTERM, "term"),
        "hang" => Action::Effect(Effect::Hang),
        "flip" => Action::Effect(Effect::Flip),
        "full" => Action::Effect(Effect::Full),
        other => {
            let times = other.strip_prefix("slow:").and_then(|n| n.parse().ok());
            Action::Effect(Effect::Slow(times.ok_or_else(wrong)?))
        }
    };
    Ok(Planned {
        phase: phase.to_owned(),
        step,
        action,
        struck: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_once_at_its_phase_and_step() {
        let faults = Faults::parse("sum@3=flip,compute@*=slow:10").unwrap();
        assert_eq!(faults.at("sum", Step(2)), None);
        assert_eq!(faults.at("sum", Step(3)), Some(Effect::Flip));
        assert_eq!(faults.at("sum", Step(3)), None);
        for step in 1..4 {
            assert_eq!(faults.at("compute", Step(step)), Some(Effect::Slow(10)));
        }
    }

    #[test]
    fn without_the_variable_nothing_happens() {
        assert_eq!(Faults::default().at("sum", Step(1)), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["sum", "sum@x=kill", "sum@1=explode", "sum@1=slow:x"] {
            assert_eq!(Faults::parse(text).unwrap_err().code, Code::Usage, "{text}");
        }
    }
}
