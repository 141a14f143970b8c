//! From the texts of a query, a form or a path to typed values.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::Error;

/// What does not fit, and where.
#[derive(Debug)]
pub(crate) struct Misfit {
    param: Option<String>,
    message: String,
    absent: bool,
}

impl Misfit {
    fn new(message: String) -> Self {
        Self {
            param: None,
            message,
            absent: false,
        }
    }

    fn of(mut self, param: &str) -> Self {
        self.param.get_or_insert_with(|| param.to_owned());
        self
    }

    /// As the caller is told; `whole` is the name of all parts together, of which there may be
    /// `none`.
    pub(crate) fn into_error(self, whole: &str, none: bool) -> Error {
        let param = self.param.unwrap_or_else(|| whole.to_owned());
        let error = Error::param(param, self.message);
        if self.absent && none {
            error.into_absent()
        } else {
            error
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            param: Some(field.to_owned()),
            message: "is missing".to_owned(),
            absent: true,
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("is not known, expected {}", expected.join(", "));
        Self::new(message).of(field)
    }
}

/// Named texts in their order; a name may come more than once.
#[derive(Debug)]
pub(crate) struct Pairs<'a>(pub(crate) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    /// Of a query or a form.
    pub(crate) fn parse(encoded: &'a [u8]) -> Self {
        Self(form_urlencoded::parse(encoded).collect())
    }

    /// Each name with all of its values.
    fn groups(self) -> Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)> {
        let mut groups: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)> = Vec::new();
        for (name, value) in self.0 {
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => groups.push((name, vec![value])),
            }
        }
        groups
    }
}

/// Methods that hand what is asked of one of these deserializers on.
macro_rules! forward {
    ($($what:ident)*) => {
        $(forward! { @ $what })*
    };
    (@ newtype) => {
        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value, Misfit> {
            visitor.visit_newtype_struct(self)
        }
    };
    (@ some) => {
        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            visitor.visit_some(self)
        }
    };
    (@ some_or_none) => {
        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            if self.0.is_empty() {
                visitor.visit_none()
            } else {
                visitor.visit_some(self)
            }
        }
    };
    (@ sequence) => {
        fn deserialize_tuple<V: Visitor<'de>>(
            self,
            _: usize,
            visitor: V,
        ) -> Result<V::Value, Misfit> {
            self.deserialize_seq(visitor)
        }

        fn deserialize_tuple_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            _: usize,
            visitor: V,
        ) -> Result<V::Value, Misfit> {
            self.deserialize_seq(visitor)
        }
    };
    (@ one) => {
        one! {
            deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
            deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
            deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
            deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
            deserialize_unit deserialize_identifier
        }

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            name: &'static str,
            variants: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Misfit> {
            self.one(|text| text.deserialize_enum(name, variants, visitor))
        }
    };
}

macro_rules! one {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.one(|text| text.$method(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Pairs<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let mut groups = self.groups();
        groups.reverse();
        visitor.visit_map(Groups {
            groups,
            current: None,
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward! { newtype some_or_none }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Groups<'a> {
    groups: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
    current: Option<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
}

impl<'de> de::MapAccess<'de> for Groups<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        self.current = self.groups.pop();
        let Some((name, _)) = &self.current else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Misfit> = (**name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (name, values) = self
            .current
            .take()
            .ok_or_else(|| Misfit::new("a value without a name".to_owned()))?;
        seed.deserialize(Texts(&values))
            .map_err(|misfit| misfit.of(&name))
    }
}

/// The values of one name.
struct Texts<'a>(&'a [Cow<'a, str>]);

impl Texts<'_> {
    /// What is made of the one text there is.
    fn one<T>(&self, read: impl FnOnce(Text<'_>) -> Result<T, Misfit>) -> Result<T, Misfit> {
        match self.0 {
            [one] => read(Text(one)),
            many => Err(Misfit::new(format!(
                "is given {} times where one is expected",
                many.len()
            ))),
        }
    }
}

impl<'de> Deserializer<'de> for Texts<'_> {
    type Error = Misfit;

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(Each(self.0.iter()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward! { newtype some sequence one }

    one! { deserialize_map }

    forward_to_deserialize_any! { unit_struct struct }
}

struct Each<'a>(std::slice::Iter<'a, Cow<'a, str>>);

impl<'de> de::SeqAccess<'de> for Each<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some(text) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(Text(text)).map(Some)
    }
}

/// One text.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

macro_rules! parsed {
    ($($method:ident $visit:ident $kind:ty, $name:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.0.trim().parse::<$kind>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Misfit::new(format!("expected {}, got {:?}", $name, self.0))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(self.0)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward! { newtype some }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if !variants.contains(&self.0) {
            let expected = variants.join(", ");
            return Err(Misfit::new(format!(
                "expected one of {expected}, got {:?}",
                self.0
            )));
        }
        let name: StrDeserializer<'_, Misfit> = self.0.into_deserializer();
        visitor.visit_enum(name)
    }

    parsed! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_i8 visit_i8 i8, "a number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number of 32 bits";
        deserialize_i64 visit_i64 i64, "a whole number of 64 bits";
        deserialize_i128 visit_i128 i128, "a whole number";
        deserialize_u8 visit_u8 u8, "a number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number from 0 on";
        deserialize_u128 visit_u128 u128, "a whole number from 0 on";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
        deserialize_char visit_char char, "one character";
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// The parameters of a path: one value, several in their order, or all by their names.
#[derive(Debug)]
pub(crate) struct PathValues<'a>(pub(crate) &'a [(String, String)]);

impl<'a> PathValues<'a> {
    /// What is made of the one parameter there is.
    fn one<T>(&self, read: impl FnOnce(Text<'_>) -> Result<T, Misfit>) -> Result<T, Misfit> {
        match self.0 {
            [] => Err(Misfit {
                param: None,
                message: "the route has no parameter".to_owned(),
                absent: true,
            }),
            [(name, value)] => read(Text(value)).map_err(|misfit| misfit.of(name)),
            many => Err(Misfit::new(format!(
                "the route has {} parameters where one is expected",
                many.len()
            ))),
        }
    }

    fn pairs(&self) -> Pairs<'a> {
        let borrowed = |text: &'a String| Cow::Borrowed(text.as_str());
        let pairs = self.0.iter().map(|(n, v)| (borrowed(n), borrowed(v)));
        Pairs(pairs.collect())
    }
}

impl<'de> Deserializer<'de> for PathValues<'_> {
    type Error = Misfit;

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.pairs().deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.pairs().deserialize_struct(name, fields, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(Named {
            left: self.0.iter(),
        })
    }

    forward! { newtype some_or_none sequence one }

    forward_to_deserialize_any! { unit_struct ignored_any }
}

struct Named<'a> {
    left: std::slice::Iter<'a, (String, String)>,
}

impl<'de> de::SeqAccess<'de> for Named<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some((name, value)) = self.left.next() else {
            return Ok(None);
        };
        let value = seed.deserialize(Text(value));
        value.map(Some).map_err(|misfit| misfit.of(name))
    }
}
