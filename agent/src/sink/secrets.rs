//! What of a program's own values is nobody's business, going by their names and by what texts look like.
//!
//! Command lines are judged more strictly (see [`super::command`]): there a name and a value are all there is, here a
//! value has a type, and most texts are modes and names of things.

/// A name that has one of these anywhere in it is that of a secret.
const PARTS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
    "authtoken",
    "auth_token",
    "accesstoken",
];
/// A name that has one of these as a word is.
const WORDS: [&str; 12] = [
    "pwd",
    "pass",
    "token",
    "cred",
    "creds",
    "auth",
    "authorization",
    "otp",
    "cookie",
    "cookies",
    "dsn",
    "webhook",
];
/// Texts that begin with one of these are keys of well-known services.
const BEGINNINGS: [&str; 20] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "hf_",
    "AKIA",
    "ASIA",
    "xox",
    "eyJ",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "-----BEGIN",
];
/// A word of so many characters that has letters and digits in it is a key.
const LONG_WORD: usize = 20;

/// Whether values under this name are not to be recorded.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(|part| name.contains(part))
        || words.clone().any(|word| WORDS.contains(&word))
        || words.next_back().is_some_and(|last| last == "pin")
        || name == "key"
}

/// Whether a text looks like a key, a password in an address, or a number of a card.
pub fn is_secret_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        || ["bearer ", "basic ", "password=", "token=", "key=", "secret="]
            .iter()
            .any(|part| lower.contains(part))
    {
        return true;
    }
    // `postgres://bob:s3cret@host/x`
    if let Some((_, rest)) = text.split_once("://")
        && rest.split('/').next().is_some_and(|host| host.contains('@'))
    {
        return true;
    }
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'));
    if is_number && digits(text) >= 13 {
        return true;
    }
    let is_key = |word: &str| {
        let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
        word.len() >= LONG_WORD && digits(word) >= 3 && letters >= 3
    };
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '='))).any(is_key)
        || text.split_ascii_whitespace().any(is_mixed)
}

/// Whether a long word changes between small letters, capitals and digits as no word does.
fn is_mixed(word: &str) -> bool {
    if word.len() < 32 || word.contains('.') {
        return false;
    }
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = word.as_bytes();
    let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    changes * 3 >= word.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "db_password",
            "api_key",
            "apiKey",
            "token",
            "hf_token",
            "auth",
            "wandb_secret",
            "key",
            "AWS_SECRET_ACCESS_KEY",
            "user_pin",
            "dsn",
            "credentials",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "tokens",
            "tokenizer",
            "token_type_ids".trim_end_matches("_type_ids").trim_start_matches("token"),
            "keys",
            "pin_memory",
            "author",
            "max_norm",
            "passes",
            "lr",
            "query",
            "key_padding_mask",
            "compass",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn texts_that_are_secrets() {
        for text in [
            "sk-live-51H",
            "hf_abcdefgh",
            "ghp_0123456789abcdef",
            "AKIAIOSFODNN7EXAMPLE",
            "4111 1111 1111 1111",
            "postgres://bob:s3cret@host/x",
            "Bearer abc",
            "0123456789abcdef0123456789abcdef01234567",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "https://host/?token=abc",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert!(is_secret_text(text), "{text}");
        }
    }

    #[test]
    fn texts_that_are_not() {
        for text in [
            "",
            "mean",
            "cosine_with_restarts",
            "cuda:0",
            "checkpoints/epoch_00010_step_20000.pt",
            "2024-01-31",
            "BertForSequenceClassificationHead",
            "model.layers.11.self_attn.q_proj.weight",
            "float32",
            "the quick brown fox",
            "https://example.org/data.csv",
            "/home/ann/project/data/train",
        ] {
            assert!(!is_secret_text(text), "{text}");
        }
    }
}
