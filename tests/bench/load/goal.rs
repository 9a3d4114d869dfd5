//! A goal beside what was measured. Figures are not tests: a goal that is not reached is said and nothing fails.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One line of the table.
pub struct Goal {
    pub what: String,
    pub goal: String,
    pub measured: String,
    /// None where there is no goal, only a figure.
    pub reached: Option<bool>,
}

impl Goal {
    pub fn at_most(what: &str, most: f64, measured: f64) -> Self {
        Self {
            what: what.to_owned(),
            goal: format!("<= {most:.2}"),
            measured: format!("{measured:.2}"),
            reached: Some(measured <= most),
        }
    }

    pub fn json(&self) -> Value {
        json!({"what": self.what, "goal": self.goal, "measured": self.measured, "reached": self.reached})
    }
}

pub fn table(goals: &[Goal]) -> String {
    let mut table = "| what | goal | measured |\n| --- | ---: | ---: |\n".to_owned();
    for Goal { what, goal, measured, reached } in goals {
        let missed = if *reached == Some(false) { "; **not reached**" } else { "" };
        let _ = writeln!(table, "| {what} | {goal} | {measured}{missed} |");
    }
    table
}
