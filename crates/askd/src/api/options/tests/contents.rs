//! Messages in blocks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::runs::content::Source;

const UPLOAD: &str = "upl_01920000-0000-7000-8000-000000000000";

fn base64(media_type: &str, bytes: &[u8]) -> Value {
    json!({"type": "base64", "media_type": media_type, "data": BASE64_STANDARD.encode(bytes)})
}

/// As much as is looked at.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0";

fn gif() -> Value {
    json!({"type": "image", "source": base64("image/gif", GIF)})
}

#[expect(clippy::needless_pass_by_value, reason = "a test gives it a literal")]
fn document(source: Value) -> Value {
    json!({"type": "document", "source": source})
}

fn plain(data: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": data})
}

#[test]
fn every_form_of_a_block_is_taken_as_it_is() {
    let blocks = json!([
        {"type": "text", "text": "look"},
        gif(),
        {"type": "image", "source": base64("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01")},
        {"type": "image", "source": base64("image/jpeg", b"\xff\xd8\xff\xc0\0\x11\x08\0\x01\0\x01\x03")},
        {"type": "image", "source": base64("image/webp", b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\0\0\0\0")},
        {"type": "image", "source": {"type": "upload", "upload_id": UPLOAD}},
        {"type": "document", "source": base64("application/pdf", b"%PDF-1.7"), "title": "t", "context": "c"},
        {"type": "document", "source": plain("d\te\r\nf\u{c}")},
        {"type": "document", "source": {"type": "upload", "upload_id": UPLOAD}},
    ]);
    let (request, _) = parse(json!({"content": blocks})).unwrap();
    assert_eq!((request.prompt.as_str(), request.content.len()), ("", 9));
    assert_eq!(serde_json::to_value(&request.content).unwrap(), blocks);
    assert!(parse(json!({"content": [gif()]})).is_ok(), "a picture needs no text");
}

#[test]
fn what_is_wrong_with_a_block_is_told_with_its_place() {
    let large = vec![b'x'; 23_000_001];
    let pdf: Vec<u8> = b"%PDF-".iter().chain(&large).copied().collect();
    let image: Vec<u8> = b"GIF89a".iter().copied().chain(std::iter::repeat_n(0, 20 << 20)).collect();
    let source = |source: Value| json!({"type": "image", "source": source});
    for (block, expected) in [
        (json!("x"), "content[0] must be an object"),
        (json!(null), "content[0] must be an object"),
        (json!({"text": "x"}), "content[0].type is missing"),
        (json!({"type": 1}), "content[0].type must be a string"),
        (json!({"type": "tool_result"}), "content[0].type must be one of text, image, document"),
        (json!({"type": "text"}), "content[0].text is missing"),
        (json!({"type": "text", "text": 5}), "content[0].text must be a string"),
        (json!({"type": "text", "text": " \n"}), "content[0].text must not be empty"),
        (
            json!({"type": "text", "text": "x", "cache_control": {}}),
            "content[0] has no field `cache_control`; the fields are type, text",
        ),
        (
            json!({"type": "text", "text": "x".repeat(50_001)}),
            "content has 50001 characters in its texts; at most 50000",
        ),
        (json!({"type": "image"}), "content[0].source is missing"),
        (source(json!("x")), "content[0].source must be an object"),
        (source(json!({})), "content[0].source.type is missing"),
        (
            source(json!({"type": "url", "url": "https://example.com/x.png"})),
            "content[0].source.type `url` is not taken: send the bytes as base64, or to POST /v1/uploads",
        ),
        (source(json!({"type": "file", "file_id": "x"})), "content[0].source.type `file` is not taken"),
        (source(plain("x")), "content[0].source.type must be one of base64, upload"),
        (source(json!({"type": "base64", "data": ""})), "content[0].source.media_type is missing"),
        (
            source(base64("image/bmp", b"BM")),
            "content[0].source.media_type must be one of image/png, image/jpeg, image/gif, image/webp for an image",
        ),
        (source(base64("application/pdf", b"%PDF-")), "content[0].source.media_type must be one of image/png"),
        (source(json!({"type": "base64", "media_type": "image/gif"})), "content[0].source.data is missing"),
        (
            source(json!({"type": "base64", "media_type": "image/gif", "data": ""})),
            "content[0].source.data must not be empty",
        ),
        (
            source(json!({"type": "base64", "media_type": "image/gif", "data": "R0lGODlh\n"})),
            "content[0].source.data is not base64",
        ),
        (
            source(json!({"type": "base64", "media_type": "image/gif", "data": "R0lGODl"})),
            "content[0].source.data is not base64",
        ),
        (
            source(json!({"type": "base64", "media_type": "image/gif", "data": "data:image/gif;base64,R0lGODlh"})),
            "content[0].source.data must be base64 alone",
        ),
        (
            source(base64("image/png", b"GIF89a")),
            "content[0].source.data does not begin as image/png does; it seems to be image/gif",
        ),
        (source(base64("image/png", b"garbage")), "content[0].source.data does not begin as image/png does"),
        (source(base64("image/gif", &image)), "content[0].source.data has 20971526 bytes; at most 20971520"),
        (
            source(json!({"type": "upload", "upload_id": "upl_1"})),
            "content[0].source.upload_id `upl_1` is not the id of an upload",
        ),
        (
            source(json!({"type": "upload", "upload_id": UPLOAD, "media_type": "x"})),
            "content[0].source has no field `media_type`; the fields are type, upload_id",
        ),
        (
            document(base64("image/gif", b"GIF89a")),
            "content[0].source.media_type must be application/pdf for a document",
        ),
        (document(base64("text/plain", b"x")), "content[0].source.media_type text/plain is not sent as base64"),
        (document(base64("application/pdf", &pdf)), "content has 23000006 bytes of PDF; at most 23000000"),
        (
            document(json!({"type": "text", "media_type": "text/html", "data": "x"})),
            "content[0].source.media_type must be text/plain",
        ),
        (document(plain("")), "content[0].source.data must not be empty"),
        (document(plain(&"x".repeat(1_000_001))), "content[0].source.data has 1000001 characters; at most 1000000"),
        (
            document(json!({"type": "content", "content": []})),
            "content[0].source.type must be one of base64, text, upload",
        ),
        (
            json!({"type": "document", "source": plain("d"), "title": "x".repeat(501)}),
            "content[0].title has 501 characters; at most 500",
        ),
        (json!({"type": "document", "source": plain("d"), "context": 1}), "content[0].context must be a string"),
        (
            json!({"type": "document", "source": plain("d"), "citations": {}}),
            "content[0] has no field `citations`; the fields are type, source, title, context",
        ),
    ] {
        let (field, said) = complaint(json!({"content": [block]}));
        let is_its = said.starts_with(&field) || said.contains("has no field");
        assert!(is_its && said.starts_with(expected), "{expected}: {field}: {said}");
    }
}

#[test]
fn what_is_damaged_or_no_text_is_refused_before_the_model_does_without_it() {
    let damaged = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 100]].concat();
    let picture = |media_type, bytes: &[u8]| json!({"type": "image", "source": base64(media_type, bytes)});
    for (block, said) in [
        (picture("image/png", &damaged), "does not say how large the picture is: it is damaged"),
        (picture("image/gif", b"GIF89a"), "does not say how large the picture is"),
        (document(plain("a\u{1b}[1mb")), "has the control character U+001B"),
        (document(plain(&"\u{1}".repeat(1_000))), "has the control character U+0001"),
    ] {
        let (field, found) = complaint(json!({"content": [block]}));
        assert_eq!(field, "content[0].source.data", "{found}");
        assert!(found.starts_with(&format!("content[0].source.data {said}")), "{found}");
    }
}

#[test]
fn a_message_is_bounded_as_a_whole() {
    for (content, expected) in [
        (json!("x"), "content must be a list"),
        (json!([]), "content must not be empty"),
        (json!(vec![json!({"type": "text", "text": "x"}); 51]), "content has 51 blocks; at most 50"),
        (json!(vec![gif(); 21]), "content has 21 images and documents; at most 20"),
        (json!(vec![json!({"type": "text", "text": "x".repeat(25_001)}); 2]), "content has 50002 characters"),
    ] {
        let (field, said) = complaint(json!({ "content": content }));
        assert_eq!((field.as_str(), said.starts_with(expected)), ("content", true), "{said}");
    }
    let second = json!([{"type": "text", "text": "x"}, {"type": "text", "text": ""}]);
    assert_eq!(complaint(json!({"content": second})).1, "content[1].text must not be empty");
}

proptest! {
    #[test]
    fn bytes_are_taken_as_they_were_sent(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes: Vec<u8> = GIF.iter().copied().chain(bytes).collect();
        let source = base64("image/gif", &bytes);
        let (request, _) = parse(json!({"content": [{"type": "image", "source": source}]})).unwrap();
        let Block::Image { source: Source::Base64 { data, .. } } = &request.content[0] else { panic!("another block") };
        prop_assert_eq!(BASE64_STANDARD.decode(data).unwrap(), bytes);
    }
}
