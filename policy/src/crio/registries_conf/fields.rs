//! Values by their keys, as the library's TOML decoder finds them: a key in other case is the same
//! key, unknown keys are passed over, and a value of another type is an error.

use toml_edit::{Item, TableLike, Value};

use super::error::{Place, RegistriesConfError};

/// A table and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) table: &'a dyn TableLike,
    pub(super) place: Place,
}

impl<'a> Fields<'a> {
    fn item(self, field: &'static str) -> Result<Option<&'a Item>, RegistriesConfError> {
        let place = self.place;
        let mut found = self
            .table
            .iter()
            .filter(|(key, item)| !item.is_none() && is_same(key, field))
            .map(|(_, item)| item);
        let item = found.next();
        if found.next().is_some() {
            return Err(RegistriesConfError::Twice { place, field });
        }
        Ok(item)
    }

    fn error(self, field: &str, item: &Item, wanted: &'static str) -> RegistriesConfError {
        RegistriesConfError::Type {
            place: self.place,
            field: field.to_owned(),
            found: kind(item),
            wanted,
        }
    }

    pub(super) fn has(self, field: &'static str) -> Result<bool, RegistriesConfError> {
        Ok(self.item(field)?.is_some())
    }

    /// A text; empty where there is none.
    pub(super) fn text(self, field: &'static str) -> Result<&'a str, RegistriesConfError> {
        let Some(item) = self.item(field)? else {
            return Ok("");
        };
        item.as_str()
            .ok_or_else(|| self.error(field, item, "a string"))
    }

    pub(super) fn flag(self, field: &'static str) -> Result<bool, RegistriesConfError> {
        let Some(item) = self.item(field)? else {
            return Ok(false);
        };
        item.as_bool()
            .ok_or_else(|| self.error(field, item, "true or false"))
    }

    pub(super) fn texts(self, field: &'static str) -> Result<Vec<&'a str>, RegistriesConfError> {
        let Some(item) = self.item(field)? else {
            return Ok(Vec::new());
        };
        item.as_array()
            .and_then(|array| array.iter().map(Value::as_str).collect())
            .ok_or_else(|| self.error(field, item, "a list of strings"))
    }

    pub(super) fn table(
        self,
        field: &'static str,
    ) -> Result<Option<&'a dyn TableLike>, RegistriesConfError> {
        let Some(item) = self.item(field)? else {
            return Ok(None);
        };
        item.as_table_like()
            .map(Some)
            .ok_or_else(|| self.error(field, item, "a table"))
    }

    /// The tables of `[[name]]`, or of `name = [{…}]`.
    pub(super) fn tables(
        self,
        field: &'static str,
    ) -> Result<Vec<&'a dyn TableLike>, RegistriesConfError> {
        let Some(item) = self.item(field)? else {
            return Ok(Vec::new());
        };
        if let Some(tables) = item.as_array_of_tables() {
            return Ok(tables.iter().map(|table| table as _).collect());
        }
        item.as_array()
            .and_then(|array| {
                let table = |value: &'a Value| value.as_inline_table().map(|table| table as _);
                array.iter().map(table).collect()
            })
            .ok_or_else(|| self.error(field, item, "a list of tables"))
    }

    /// All keys with their texts.
    pub(super) fn all_texts(self) -> Result<Vec<(&'a str, &'a str)>, RegistriesConfError> {
        self.table
            .iter()
            .filter(|(_, item)| !item.is_none())
            .map(|(key, item)| match item.as_str() {
                Some(text) => Ok((key, text)),
                None => Err(self.error(key, item, "a string")),
            })
            .collect()
    }
}

/// Equal under Unicode's simple case folding; `field` is in lower case.
fn is_same(key: &str, field: &str) -> bool {
    let fold = |c: char| match c {
        // KELVIN SIGN and LATIN SMALL LETTER LONG S.
        '\u{212A}' => 'k',
        '\u{17F}' => 's',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(field.chars())
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) | Item::Value(Value::InlineTable(_)) => "a table",
        Item::ArrayOfTables(_) | Item::Value(Value::Array(_)) => "another list",
        Item::Value(Value::String(_)) => "a string",
        Item::Value(Value::Integer(_) | Value::Float(_)) => "a number",
        Item::Value(Value::Boolean(_)) => "true or false",
        Item::Value(Value::Datetime(_)) => "a date",
    }
}
