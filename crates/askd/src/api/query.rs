//! Query parameters: each known, each once, and what is wrong names it.

use axum::extract::Query as Pairs;
use axum::http::Uri;

use super::error::ApiError;

/// More parameters than any route has.
const MAX_PARAMETERS: usize = 50;

/// The parameters that were not taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        let Pairs(pairs) = pairs.map_err(|_| ApiError::request("the query cannot be read"))?;
        if pairs.len() > MAX_PARAMETERS {
            return Err(ApiError::request(format!("the query has more than {MAX_PARAMETERS} parameters")));
        }
        if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            // Nothing that is looked for can hold it, and not every database takes the question.
            return Err(ApiError::request("the query must not contain the character NUL"));
        }
        Ok(Self(pairs))
    }

    /// A parameter that may be given once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(at) = self.0.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(given, _)| given == name) {
            return Err(ApiError::param(name, "is given twice"));
        }
        Ok(Some(value))
    }

    /// All parameters whose names begin so, without the beginning.
    pub(super) fn take_all(&mut self, prefix: &str) -> Vec<(String, String)> {
        let named = |(name, _): &(String, String)| name.starts_with(prefix);
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(named);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// `true` or `false`; the name alone is `true`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name)?.as_deref() {
            None => Ok(None),
            Some("" | "true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(ApiError::param(name, "must be true or false")),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        digits(&text).map(Some).ok_or_else(|| ApiError::param(name, "must be a whole number from 0"))
    }

    /// A whole number in a range.
    pub(super) fn limit(&mut self, name: &str, default: u64, most: u64) -> Result<u64, ApiError> {
        match self.number(name)? {
            None => Ok(default),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(ApiError::param(name, format_args!("must be from 1 to {most}"))),
        }
    }

    /// After everything was taken: what is left is not known.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        let short: String = name.chars().take(60).collect();
        let known = match known {
            [] => "this route has none".to_owned(),
            [one] => format!("the only one is {one}"),
            many => format!("they are {}", many.join(", ")),
        };
        Err(ApiError::request(format!("there is no query parameter `{short}`; {known}")).with_param(name))
    }
}

/// Refuses any query parameter.
pub(super) fn none(uri: &Uri) -> Result<(), ApiError> {
    Query::of(uri)?.finish(&[])
}

/// Digits and nothing else: no sign, no blanks.
pub(super) fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn parameters_are_taken_by_name_and_the_rest_is_not_known() {
        let mut query = query("limit=7&deltas&metadata.a=1&metadata.b=%C3%A4&typo=1");
        assert_eq!(query.limit("limit", 50, 200).unwrap(), 7);
        assert_eq!(query.flag("deltas").unwrap(), Some(true));
        assert_eq!(query.take_all("metadata."), [("a".into(), "1".into()), ("b".into(), "ä".into())]);
        let error = query.finish(&["limit", "deltas"]).unwrap_err();
        assert_eq!(error.at_fault(), Some("typo"));
        assert_eq!(error.message(), "there is no query parameter `typo`; they are limit, deltas");
        let told = |known: &[&str]| self::query("typo").finish(known).unwrap_err().message().to_owned();
        assert_eq!(told(&["wait"]), "there is no query parameter `typo`; the only one is wait");
        assert_eq!(told(&[]), "there is no query parameter `typo`; this route has none");
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        assert_eq!(query("a=1&a=2").take("a").unwrap_err().message(), "a is given twice");
        assert_eq!(query("a=maybe").flag("a").unwrap_err().message(), "a must be true or false");
        for text in ["a=-1", "a=1.5", "a=+1", "a=", "a=x", "a=99999999999999999999"] {
            assert_eq!(query(text).number("a").unwrap_err().message(), "a must be a whole number from 0", "{text}");
        }
        for text in ["a=0", "a=201"] {
            assert_eq!(query(text).limit("a", 50, 200).unwrap_err().message(), "a must be from 1 to 200", "{text}");
        }
    }
}
