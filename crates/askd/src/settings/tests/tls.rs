//! Encrypted connections: what is wrong with certificates is said at the start.

use std::fs;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

use super::Surroundings;
use crate::settings::render_text;
use crate::settings::tls::TlsError;

/// A certificate and its key, as PEM.
fn pair() -> (String, String) {
    let CertifiedKey::<KeyPair> { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

/// A certificate and a key in files, and their names set.
fn with(certificate: &str, key: &str) -> Surroundings {
    let at = Surroundings::new().file("cert.pem", certificate).file("key.pem", key);
    at.env("ASKD_TLS_CERT", "cert.pem").env("ASKD_TLS_KEY", "key.pem")
}

#[test]
fn a_pair_that_fits_is_taken_and_its_key_is_kept_from_runs() {
    let (certificate, key) = pair();
    let at = with(&certificate, &key).env("ASKD_TLS_CLIENT_CA", "cert.pem");
    let loaded = at.load();
    let tls = loaded.settings.server.tls.as_ref().unwrap();
    assert_eq!(tls.files.key, at.folder.path().join("key.pem"));
    assert!(loaded.settings.paths.private_files.contains(&tls.files.key));
    assert!(!loaded.settings.paths.private_files.contains(&tls.files.certificate), "which is no secret");
    assert!(!format!("{loaded:?}{}", render_text(&loaded)).contains("PRIVATE"));
    assert!(Surroundings::new().settings().server.tls.is_none());
}

#[test]
fn a_half_of_a_pair_is_an_error() {
    let (certificate, key) = pair();
    let problem = with(&certificate, &key).env("ASKD_TLS_KEY", "").problem();
    assert!(problem.contains("`tls_cert` from environment variable `ASKD_TLS_CERT`"), "{problem}");
    assert!(problem.contains("is set without ASKD_TLS_KEY"), "{problem}");
    let problem = with(&certificate, &key).env("ASKD_TLS_CERT", "").problem();
    assert!(problem.contains("is set without ASKD_TLS_CERT"), "{problem}");
    let problem = Surroundings::new().env("ASKD_TLS_CLIENT_CA", "cert.pem").problem();
    assert!(problem.contains("`tls_client_ca`") && problem.contains("is set without ASKD_TLS_CERT"), "{problem}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let (certificate, key) = pair();
    let (other_certificate, other_key) = pair();
    let broken = key.replace("-----END", "-----DNE");
    for (certificate, key, expected) in [
        (&*certificate, &*other_key, "does not belong to the first certificate"),
        (&other_certificate, &key, "does not belong to the first certificate"),
        ("nothing", &key, "the file of ASKD_TLS_CERT holds no certificate"),
        (&key, &key, "the file of ASKD_TLS_CERT holds no certificate"),
        (&certificate, "", "the file of ASKD_TLS_KEY holds no private key"),
        (&certificate, &certificate, "the file of ASKD_TLS_KEY holds no private key"),
        (&certificate, &broken, "the file of ASKD_TLS_KEY is no valid PEM"),
    ] {
        let problem = with(certificate, key).problem();
        assert!(problem.contains(expected) && problem.contains("hint: give the path"), "{problem}");
    }
    let problem = with(&certificate, &key).env("ASKD_TLS_CERT", "absent.pem").problem();
    assert!(problem.contains("the file of ASKD_TLS_CERT cannot be read: No such file"), "{problem}");
    let problem = with(&certificate, &key).env("ASKD_TLS_CLIENT_CA", "key.pem").problem();
    assert!(problem.contains("the file of ASKD_TLS_CLIENT_CA holds no certificate"), "{problem}");
}

#[test]
fn a_key_in_place_of_its_path_is_not_shown() {
    let (certificate, key) = pair();
    let problem = with(&certificate, &key).env("ASKD_TLS_KEY", &key).problem();
    assert!(problem.contains("the file of ASKD_TLS_KEY cannot be read"), "{problem}");
    assert!(!problem.contains("PRIVATE"), "{problem}");
}

#[test]
fn a_change_is_noticed_and_a_wrong_one_is_none() {
    let (certificate, key) = pair();
    let at = with(&certificate, &key);
    let tls = at.settings().server.tls.unwrap();
    assert!(tls.files.read_again(&tls.first).unwrap().is_none());
    let (next_certificate, next_key) = pair();
    fs::write(&tls.files.certificate, next_certificate).unwrap();
    assert!(matches!(tls.files.read_again(&tls.first), Err(TlsError::Mismatch)));
    fs::write(&tls.files.key, next_key).unwrap();
    let next = tls.files.read_again(&tls.first).unwrap().unwrap();
    assert!(tls.files.read_again(&next).unwrap().is_none());
}
