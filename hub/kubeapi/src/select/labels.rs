//! The language of label selectors: `a=b,c!=d,e in (f,g),h,!i,j>1`.
//!
//! An absent label satisfies `!=` and `notin`; a value is compared as text, except by `<` and `>`.

use serde_json::Value;

use crate::error::Status;

/// A conjunction of requirements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
}

impl Labels {
    /// Reads the query parameter.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut reader = Reader {
            tokens: tokens(text),
            at: 0,
        };
        reader
            .selector()
            .map(Self)
            .map_err(|why| Status::bad_request(format!("unable to parse requirement: {why}")))
    }

    /// Reads a `LabelSelector` object, as it stands in specs; none = selects nothing.
    #[must_use]
    pub fn from_object(selector: &Value) -> Option<Self> {
        let selector = selector.as_object()?;
        let mut found = Vec::new();
        let pairs = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in pairs.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            found.push(Requirement {
                key: key.clone(),
                test: Test::In(vec![value]),
            });
        }
        let rules = selector.get("matchExpressions").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let values = rule["values"].as_array().into_iter().flatten();
            let values: Vec<_> = values
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let test = match rule["operator"].as_str()? {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            let key = rule["key"].as_str()?.to_owned();
            found.push(Requirement { key, test });
        }
        Some(Self(found))
    }

    /// Selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels satisfy all requirements.
    #[must_use]
    pub fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|one| {
            let value = labels.get(&one.key).and_then(Value::as_str);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match &one.test {
                Test::In(wanted) => value.is_some_and(|value| wanted.iter().any(|w| w == value)),
                Test::NotIn(unwanted) => {
                    value.is_none_or(|value| unwanted.iter().all(|w| w != value))
                }
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Above(than) => number().is_some_and(|number| number > *than),
                Test::Below(than) => number().is_some_and(|number| number < *than),
            }
        })
    }
}

/// The text in which a selector is shown, such as `a=b,c in (d,e)`, sorted by key.
impl std::fmt::Display for Labels {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<_> = self.0.iter().collect();
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        for (index, one) in parts.into_iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            let key = &one.key;
            match &one.test {
                Test::In(values) if values.len() == 1 => write!(out, "{key}={}", values[0])?,
                Test::In(values) => write!(out, "{key} in ({})", sorted(values))?,
                Test::NotIn(values) => write!(out, "{key} notin ({})", sorted(values))?,
                Test::Exists => out.write_str(key)?,
                Test::Absent => write!(out, "!{key}")?,
                Test::Above(number) => write!(out, "{key}>{number}")?,
                Test::Below(number) => write!(out, "{key}<{number}")?,
            }
        }
        Ok(())
    }
}

fn sorted(values: &[String]) -> String {
    let mut values = values.to_vec();
    values.sort();
    values.join(",")
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut found = Vec::new();
        if *self.peek() == Token::End {
            return Ok(found);
        }
        loop {
            found.push(self.requirement()?);
            match self.next() {
                Token::End => return Ok(found),
                Token::Sign(",") => match self.peek() {
                    Token::Word(_) | Token::Sign("!") => {}
                    other => return Err(expected(other, "identifier after ','")),
                },
                other => return Err(expected(&other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(expected(&other, "!, identifier, or 'end of string'")),
        };
        check_key(&key)?;
        if absent || matches!(self.peek(), Token::End | Token::Sign(",")) {
            let test = if absent { Test::Absent } else { Test::Exists };
            return Ok(Requirement { key, test });
        }
        let test = match self.next() {
            Token::Word(word) if word == "in" => Test::In(self.values()?),
            Token::Word(word) if word == "notin" => Test::NotIn(self.values()?),
            Token::Sign("=" | "==") => Test::In(vec![self.value(&key)?]),
            Token::Sign("!=") => Test::NotIn(vec![self.value(&key)?]),
            Token::Sign(">") => Test::Above(self.number(&key)?),
            Token::Sign("<") => Test::Below(self.number(&key)?),
            other => return Err(expected(&other, "in, notin, =, ==, !=, gt, lt")),
        };
        if let Test::In(values) | Test::NotIn(values) = &test {
            values
                .iter()
                .try_for_each(|value| check_value(&key, value))?;
        }
        Ok(Requirement { key, test })
    }

    fn value(&mut self, _key: &str) -> Result<String, String> {
        match self.peek().clone() {
            Token::End | Token::Sign(",") => Ok(String::new()),
            Token::Word(word) => {
                self.next();
                Ok(word)
            }
            other @ Token::Sign(_) => Err(expected(&other, "identifier")),
        }
    }

    fn number(&mut self, key: &str) -> Result<i64, String> {
        let text = self.value(key)?;
        let why = "for 'Gt', 'Lt' operators, the value must be an integer";
        text.parse()
            .map_err(|_| format!("values[0][{key}]: Invalid value: \"{text}\": {why}"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(expected(&other, "'('")),
        }
        let mut found = Vec::new();
        let mut last = None::<String>;
        loop {
            match self.next() {
                Token::Word(word) if last.is_none() => last = Some(word),
                Token::Sign(",") => found.push(last.take().unwrap_or_default()),
                Token::Sign(")") => {
                    found.push(last.take().unwrap_or_default());
                    return Ok(found);
                }
                other => return Err(expected(&other, "',', ')' or identifier")),
            }
        }
    }
}

fn expected(token: &Token, what: &str) -> String {
    let found = match token {
        Token::Word(word) => word.as_str(),
        Token::Sign(sign) => sign,
        Token::End => "",
    };
    format!("found '{found}', expected: {what}")
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let sign = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"]
            .into_iter()
            .find(|sign| rest.starts_with(sign));
        if let Some(sign) = sign {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let stops = |c: char| c.is_whitespace() || "=!(),<>".contains(c);
            let end = rest.find(stops).unwrap_or(rest.len()).max(first.len_utf8());
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    found
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(p, n)| (Some(p), n));
    let good_prefix = prefix.is_none_or(|prefix| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(good)
    });
    if good_prefix && !name.is_empty() && is_label_text(name) {
        return Ok(());
    }
    Err(format!(
        "key: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', \
         '_' or '.', and must start and end with an alphanumeric character"
    ))
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if is_label_text(value) {
        return Ok(());
    }
    let why = if value.len() > 63 {
        "must be no more than 63 characters"
    } else {
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
         '.', and must start and end with an alphanumeric character"
    };
    Err(format!(
        "values[0][{key}]: Invalid value: \"{value}\": {why}"
    ))
}

/// Empty, or at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_label_text(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(good)
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}
