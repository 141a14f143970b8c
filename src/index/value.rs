//! Reading JSON whose members may be anything, without stopping at the first that is wrong.

use serde_json::{Map, Value};

use super::problem::{Problem, quoted};

/// One object of an index, and whom it is about.
pub(super) struct Members<'a, 'p> {
    map: &'a Map<String, Value>,
    function: &'a str,
    /// In front of the members' names, such as `trigger "t": `.
    place: String,
    problems: &'p mut Vec<Problem>,
}

impl<'a, 'p> Members<'a, 'p> {
    pub(super) fn new(
        map: &'a Map<String, Value>,
        function: &'a str,
        place: String,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self {
            map,
            function,
            place,
            problems,
        }
    }

    pub(super) fn report(&mut self, text: impl std::fmt::Display) {
        let text = format!("{}{text}", self.place);
        self.problems.push(Problem::of(self.function, text));
    }

    /// A member that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, name: &str, value: &Value, expected: &str) {
        self.report(format_args!(
            "{name} {} is not allowed, expected {expected}",
            shown(value)
        ));
    }

    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        let text = value.as_str();
        if text.is_none() {
            self.wrong(name, value, "a text");
        }
        text
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.get(name) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(other) => {
                self.wrong(name, other, "true or false");
                false
            }
        }
    }

    /// A whole number from 1 to `max`.
    pub(super) fn number(&mut self, name: &str, max: u64) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64().filter(|number| (1..=max).contains(number));
        if number.is_none() {
            self.report(if value.is_number() {
                format!("{name} {value} is outside 1..{max}")
            } else {
                format!(
                    "{name} {} is not allowed, expected a whole number in 1..{max}",
                    shown(value)
                )
            });
        }
        number
    }

    pub(super) fn seconds(&mut self, name: &str, max: u32) -> Option<u32> {
        let number = self.number(name, max.into())?;
        u32::try_from(number).ok()
    }

    /// Of more than `most` nothing is read.
    pub(super) fn list(&mut self, name: &str, most: usize) -> Option<&'a [Value]> {
        let value = self.get(name)?;
        let Some(list) = value.as_array() else {
            self.wrong(name, value, "a list");
            return None;
        };
        if list.len() > most {
            let count = list.len();
            self.report(format_args!(
                "{name}: {count} of them, expected at most {most}"
            ));
            return Some(&[]);
        }
        Some(list)
    }

    pub(super) fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        let value = self.get(name)?;
        let object = value.as_object();
        if object.is_none() {
            self.wrong(name, value, "an object");
        }
        object
    }

    /// The texts of a list; one that is none is a problem.
    pub(super) fn texts(&mut self, name: &str, most: usize) -> Option<Vec<&'a str>> {
        let list = self.list(name, most)?;
        let mut texts = Vec::new();
        for value in list {
            match value.as_str() {
                Some(text) => texts.push(text),
                None => self.wrong(name, value, "a list of texts"),
            }
        }
        Some(texts)
    }
}

/// A value of the image's in one short line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        plain => plain.to_string(),
    }
}
