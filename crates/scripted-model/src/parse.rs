//! The directive parser. It never panics and names the directive it refuses.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::args::{Args, read_json_string};
use crate::script::{Directive, Fault, FaultKind, Step, UpstreamError, UsageOverride};

const MIB: u64 = 1024 * 1024;
/// Ten minutes: longer than any test waits, short enough that a typo does not hang for a day.
const MOST_MS: u64 = 600_000;
const STOP_REASONS: [&str; 7] =
    ["end_turn", "max_tokens", "model_context_window_exceeded", "pause_turn", "refusal", "stop_sequence", "tool_use"];

/// A directive that cannot be played, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectiveError {
    excerpt: String,
    reason: String,
}

impl fmt::Display for DirectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directive `{}`: {}", self.excerpt, self.reason)
    }
}

/// Every directive in `text`, in order; prose between them is skipped.
pub(crate) fn parse(text: &str) -> Result<Vec<Directive>, DirectiveError> {
    let mut directives = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("[[") {
        let here = &rest[at..];
        let Some((name, body)) = head(&here[2..]) else {
            // `[[[text:x]]` holds a directive one bracket further on.
            rest = &here[1..];
            continue;
        };
        let (directive, tail) = directive(name, body)
            .map_err(|reason| DirectiveError { excerpt: here.chars().take(60).collect(), reason })?;
        directives.push(directive);
        rest = tail;
    }
    Ok(directives)
}

/// `name` and what follows it, when `text` is the inside of something meant as a directive.
fn head(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c == '_'))?;
    let (name, body) = text.split_at(end);
    // A bare unknown word is left alone: prompts quote TOML tables and wiki links.
    let bare = matches!(name, "cut" | "short" | "hang" | "then") && body.starts_with("]]");
    (!name.is_empty() && (bare || body.starts_with(':'))).then_some((name, body))
}

fn directive<'a>(name: &str, body: &'a str) -> Result<(Directive, &'a str), String> {
    let body = body.strip_prefix(':').unwrap_or(body);
    match name {
        "text" => prose(body).map(|(text, tail)| (Directive::Step(Step::Text(text)), tail)),
        "think" => prose(body).map(|(text, tail)| (Directive::Step(Step::Think(text)), tail)),
        "tool" => tool(body),
        _ => {
            let (mut args, tail) = Args::read(body)?;
            let directive = with_args(name, &mut args)?;
            args.finish()?;
            Ok((directive, tail))
        }
    }
}

/// A JSON string, or raw text up to the first `]]`.
fn prose(body: &str) -> Result<(String, &str), String> {
    if body.trim_start().starts_with('"') {
        let (text, tail) = read_json_string(body.trim_start())?;
        return Ok((text, closed(tail)?));
    }
    let (text, tail) = body.split_once("]]").ok_or("it is not closed with `]]`")?;
    Ok((text.to_owned(), tail))
}

/// `Name {json}`: the JSON parser finds the end, so brackets and quotes inside are safe.
fn tool(body: &str) -> Result<(Directive, &str), String> {
    let body = body.trim_start();
    let end = body
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .ok_or("it is not closed with `]]`")?;
    let (name, rest) = body.split_at(end);
    if name.is_empty() {
        return Err("a tool name must follow `tool:`".to_owned());
    }
    let rest = rest.trim_start();
    let (input, rest) = if rest.starts_with("]]") {
        (Value::Object(Map::new()), rest)
    } else {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(input @ Value::Object(_))) => (input, &rest[values.byte_offset()..]),
            Some(Ok(_)) => return Err("the input must be a JSON object".to_owned()),
            Some(Err(error)) => return Err(format!("the input is not JSON: {error}")),
            None => return Err("it is not closed with `]]`".to_owned()),
        }
    };
    let step = Step::Tool { name: name.to_owned(), input };
    Ok((Directive::Step(step), closed(rest)?))
}

fn closed(text: &str) -> Result<&str, String> {
    let closed = text.trim_start().strip_prefix("]]");
    closed.ok_or_else(|| "expected `]]` after the JSON".to_owned())
}

fn with_args(name: &str, args: &mut Args) -> Result<Directive, String> {
    Ok(match name {
        "deltas" => Directive::Step(Step::Deltas {
            count: to_u32(args.at_most("count", 1_000_000)?.unwrap_or(10)),
            bytes: to_usize(args.at_most("bytes", MIB)?.unwrap_or(16)),
            pace: Duration::from_millis(args.at_most("pace_ms", MOST_MS)?.unwrap_or(0)),
        }),
        "large" => {
            let bytes = args.at_most("bytes", 256 * MIB)?.ok_or("bytes: missing")?;
            let chunk = args.at_most("chunk", 256 * MIB)?.unwrap_or(64 * 1024);
            Directive::Step(Step::Large { bytes: to_usize(bytes), chunk: to_usize(chunk.max(1)) })
        }
        "delay_ms" => Directive::Delay(millis(args, "first")?),
        "pause_ms" => Directive::Step(Step::Pause(millis(args, "ms")?)),
        "cut" => fault(FaultKind::Cut, args)?,
        "short" => fault(FaultKind::Short, args)?,
        "hang" => fault(FaultKind::Hang, args)?,
        "error" => {
            let error = upstream_error(args)?;
            fault(FaultKind::Upstream(error), args)?
        }
        "stop" => {
            let reason: String = args.first("reason")?.ok_or("a stop reason is missing")?;
            let known = STOP_REASONS.into_iter().find(|known| *known == reason);
            Directive::Stop(known.ok_or(format!("not one of {}", STOP_REASONS.join(", ")))?)
        }
        "usage" => Directive::Usage(UsageOverride {
            input: args.named("input")?,
            output: args.named("output")?,
            cache_read: args.named("cache_read")?,
            cache_write: args.named("cache_write")?,
            web_searches: args.named("web_searches")?,
        }),
        "then" => Directive::Then,
        _ => return Err("no such directive".to_owned()),
    })
}

fn millis(args: &mut Args, name: &str) -> Result<Duration, String> {
    match args.first::<u64>(name)? {
        Some(ms) if ms <= MOST_MS => Ok(Duration::from_millis(ms)),
        Some(_) => Err(format!("{name}: at most {MOST_MS}")),
        None => Err(format!("{name}: missing")),
    }
}

fn fault(kind: FaultKind, args: &mut Args) -> Result<Directive, String> {
    let times = args.named("times")?;
    Ok(Directive::Step(Step::Fault(Fault { kind, times })))
}

fn upstream_error(args: &mut Args) -> Result<UpstreamError, String> {
    let status: u16 = args.first("status")?.ok_or("a status is missing")?;
    let (kind, message) = match status {
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "Your credit balance is too low"),
        403 => ("permission_error", "Your API key may not use this"),
        404 => ("not_found_error", "Not found"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => ("rate_limit_error", "This exceeds your rate limit"),
        504 => ("timeout_error", "The request timed out"),
        529 => ("overloaded_error", "Overloaded"),
        _ if (400..500).contains(&status) => ("invalid_request_error", "Invalid request"),
        _ if (500..600).contains(&status) => ("api_error", "Internal server error"),
        _ => return Err("the status must be between 400 and 599".to_owned()),
    };
    Ok(UpstreamError {
        status,
        kind: args.named("type")?.unwrap_or_else(|| kind.to_owned()),
        message: args.named("message")?.unwrap_or_else(|| message.to_owned()),
        retry_after: args.named("retry_after")?,
    })
}

/// The callers bound the number first, so it always fits.
fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The callers bound the number first, so it always fits.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
