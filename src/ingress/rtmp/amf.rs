//! AMF0, the encoding of RTMP commands (Action Message Format, Adobe 2007).
//!
//! Invariant: decoding costs memory in proportion to the input. References (marker 7) are not
//! followed, because a few bytes of them can stand for gigabytes.

/// Maximum nesting of objects; real encoders use two levels.
const NESTING_LEVELS_MAX: usize = 8;

/// Maximum number of values in one message; real encoders send under a hundred.
const VALUES_MAX: usize = 1024;

/// One AMF0 value. Dates, XML and references are skipped.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
    /// A text; invalid UTF-8 is replaced.
    String(String),
    /// Named values in order: objects, typed objects and ECMA arrays.
    Object(Vec<(String, Value)>),
    /// A strict array.
    Array(Vec<Value>),
    /// Null, or a value that has no use here.
    Null,
}

/// Why bytes are not valid AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The bytes end inside a value.
    #[error("an AMF value is cut short")]
    Truncated,
    /// A marker that AMF0 does not define.
    #[error("{0:#04x} is not an AMF0 marker")]
    Marker(u8),
    /// Nested too deeply or too many values.
    #[error(
        "an AMF message nests deeper than {NESTING_LEVELS_MAX} or has over {VALUES_MAX} values"
    )]
    TooMuch,
}

impl Value {
    /// A text value.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object from its fields.
    pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The text. `None` for other values.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number. `None` for other values.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A field of an object. `None` if there is none.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// Decodes all values of a message.
///
/// # Errors
/// [`Error`] if the bytes are not completely AMF0.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { bytes, values: 0 };
    let mut values = Vec::new();
    while !reader.bytes.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    bytes: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or(Error::Truncated)?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Truncated)
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn long_text(&mut self) -> Result<String, Error> {
        let length = u32::from_be_bytes(self.array()?);
        let length = usize::try_from(length).map_err(|_| Error::Truncated)?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.values += 1;
        if depth > NESTING_LEVELS_MAX || self.values > VALUES_MAX {
            return Err(Error::TooMuch);
        }
        let [marker] = self.array()?;
        Ok(match marker {
            0x00 => Value::Number(f64::from_be_bytes(self.array()?)),
            0x01 => Value::Bool(self.array::<1>()? != [0]),
            0x02 => Value::String(self.text()?),
            0x03 => self.fields(depth)?,
            // Null, undefined, unsupported.
            0x05 | 0x06 | 0x0d => Value::Null,
            // A reference to an earlier object: its two bytes are skipped.
            0x07 => self.array::<2>().map(|_| Value::Null)?,
            // The count of an ECMA array is a hint that encoders often get wrong.
            0x08 => {
                self.array::<4>()?;
                self.fields(depth)?
            }
            0x0a => {
                let count = u32::from_be_bytes(self.array()?);
                let items = (0..count).map(|_| self.value(depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            0x0b => self.array::<10>().map(|_| Value::Null)?,
            0x0c | 0x0f => Value::String(self.long_text()?),
            0x10 => {
                self.text()?;
                self.fields(depth)?
            }
            other => return Err(Error::Marker(other)),
        })
    }

    fn fields(&mut self, depth: usize) -> Result<Value, Error> {
        let mut fields = Vec::new();
        loop {
            let name = self.text()?;
            if name.is_empty() && self.bytes.first() == Some(&0x09) {
                self.take(1)?;
                return Ok(Value::Object(fields));
            }
            fields.push((name, self.value(depth + 1)?));
        }
    }
}

/// Encodes values in sequence.
pub(super) fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for value in values {
        write(value, &mut out);
    }
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(0x00);
            out.extend(number.to_be_bytes());
        }
        Value::Bool(yes) => out.extend([0x01, u8::from(*yes)]),
        Value::String(text) => {
            out.push(0x02);
            write_text(text, out);
        }
        Value::Object(fields) => {
            out.push(0x03);
            for (name, value) in fields {
                write_text(name, out);
                write(value, out);
            }
            out.extend([0, 0, 0x09]);
        }
        Value::Array(items) => {
            out.push(0x0a);
            out.extend(u32::try_from(items.len()).unwrap_or(u32::MAX).to_be_bytes());
            for item in items {
                write(item, out);
            }
        }
        Value::Null => out.push(0x05),
    }
}

/// A text with its length in two bytes; a longer text is cut at a character boundary.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend(u16::try_from(end).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(&text.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let values = vec![
            Value::text("connect"),
            Value::Number(1.0),
            Value::object([("app", Value::text("live")), ("ok", Value::Bool(true))]),
            Value::Array(vec![Value::Null, Value::text("hvc1")]),
        ];
        assert_eq!(decode(&encode(&values)), Ok(values));
    }

    #[test]
    fn reads_what_an_independent_encoder_writes() {
        use rtmp_rs::amf::AmfValue;
        let properties = [("app".to_owned(), AmfValue::String("live".into()))].into();
        let theirs = rtmp_rs::amf::amf0::encode_all(&[
            AmfValue::String("connect".into()),
            AmfValue::Number(1.0),
            AmfValue::EcmaArray(properties),
            AmfValue::Undefined,
        ]);
        let ours = decode(&theirs).expect("valid AMF0");
        assert_eq!(ours[0].as_str(), Some("connect"));
        assert_eq!(ours[1].as_number(), Some(1.0));
        assert_eq!(ours[2].get("app").and_then(Value::as_str), Some("live"));
        assert_eq!(ours[3], Value::Null);
    }

    #[test]
    fn bombs_are_refused() {
        assert_eq!(decode(&[0x0a; 5000]), Err(Error::TooMuch), "arrays in arrays");
        let mut huge = vec![0x0a, 0xff, 0xff, 0xff, 0xff];
        huge.extend([0x05; 5000]);
        assert_eq!(decode(&huge), Err(Error::TooMuch), "an array of four billion");
        assert_eq!(decode(&[0x0c, 0xff, 0xff, 0xff, 0xff]), Err(Error::Truncated));
        assert_eq!(decode(&[0x03, 0, 1]), Err(Error::Truncated));
        assert_eq!(decode(&[0x42]), Err(Error::Marker(0x42)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            if let Ok(values) = decode(&bytes) {
                let _ = decode(&encode(&values));
            }
        }
    }
}
