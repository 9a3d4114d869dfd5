//! Sources of the fetcher that take the place of Web3Signer's options for vaults.

use super::command_line::Value;
use super::given::Given;
use crate::cli::old_signer::FetchSource;

/// One for each of AWS, Azure and Google that is switched on.
pub(super) fn of(given: &Given) -> Vec<FetchSource> {
    let options = Options(given);
    let all = [
        ("aws-secrets-enabled", "aws", aws as fn(&Options<'_>) -> String),
        ("azure-vault-enabled", "azure", azure),
        ("gcp-secrets-enabled", "google", google),
    ];
    let is_on = |name: &str| options.value(name).is_some_and(|value| value.is_on().unwrap_or(false));
    let wanted = all.into_iter().filter(|(switch, ..)| is_on(switch));
    wanted.map(|(_, name, text)| FetchSource { name, text: text(&options) }).collect()
}

/// Whether an option's meaning has gone into a source.
pub(super) fn is_of_one(value: &Value, sources: &[FetchSource]) -> bool {
    let has = |source: &str| sources.iter().any(|other| other.name == source);
    match value.option.name().split('-').next() {
        Some("aws") => has("aws"),
        Some("azure") => has("azure"),
        Some("gcp") => has("google"),
        Some(_) | None => false,
    }
}

struct Options<'g>(&'g Given);

impl<'g> Options<'g> {
    fn value(&self, name: &str) -> Option<&'g Value> {
        self.0.values().find(|value| value.option.name() == name)
    }

    fn text(&self, name: &str) -> Option<&'g str> {
        self.value(name).map(|value| value.text.as_str()).filter(|text| !text.is_empty())
    }

    /// An option as a TOML text; what is missing is for the operator to write.
    fn quoted(&self, name: &str) -> String {
        self.text(name).map_or_else(|| format!("\"...\"  # {name}"), quoted)
    }

    fn is(&self, name: &str, word: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case(word))
    }
}

fn aws(options: &Options<'_>) -> String {
    let mut text =
        format!("type = \"aws-secrets-manager\"\nregion = {}\n", options.quoted("aws-secrets-region"));
    if let Some(address) = options.text("aws-endpoint-override") {
        text.push_str(&format!("address = {}\n", quoted(address.trim_end_matches('/'))));
    }
    if let Some(prefixes) = options.text("aws-secrets-prefixes-filter") {
        let prefixes: Vec<_> = prefixes.split(',').map(str::trim).map(quoted).collect();
        text.push_str(&format!("prefixes = [{}]\n", prefixes.join(", ")));
    }
    text.push_str(&options.text("aws-secrets-tag").map(tags).unwrap_or_default());
    text.push_str("\n[login]\n");
    if options.is("aws-secrets-auth-mode", "ENVIRONMENT") {
        text.push_str(
            "method = \"instance\"  # or profile, web-identity or container, as its environment was\n",
        );
    } else {
        text.push_str(&format!(
            "method = \"keys\"\naccess_key_id = {}\n\
             secret_access_key_file = \"{SECRETS}/aws\"  # for its owner alone\n",
            options.quoted("aws-secrets-access-key-id")
        ));
    }
    text
}

fn azure(options: &Options<'_>) -> String {
    let mut text = format!("type = \"azure-key-vault\"\nvault = {}\n", options.quoted("azure-vault-name"));
    text.push_str(&options.text("azure-tags").map(tags).unwrap_or_default());
    text.push_str("\n[login]\n");
    if options.is("azure-vault-auth-mode", "SYSTEM_ASSIGNED_MANAGED_IDENTITY") {
        text.push_str("method = \"managed-identity\"\n");
        return text;
    }
    let client_id = options.quoted("azure-client-id");
    if options.is("azure-vault-auth-mode", "USER_ASSIGNED_MANAGED_IDENTITY") {
        text.push_str(&format!("method = \"managed-identity\"\nclient_id = {client_id}\n"));
    } else {
        text.push_str(&format!(
            "method = \"client-secret\"\ntenant = {}\nclient_id = {client_id}\n\
             client_secret_file = \"{SECRETS}/azure\"  # for its owner alone\n",
            options.quoted("azure-tenant-id")
        ));
    }
    text
}

fn google(options: &Options<'_>) -> String {
    let mut text = format!("type = \"gcp-secret-manager\"\nproject = {}\n", options.quoted("gcp-project-id"));
    if let Some(filter) = options.text("gcp-secrets-filter") {
        text.push_str(&format!("filter = {}\n", quoted(filter)));
    }
    text.push_str("\n[login]\n");
    text.push_str(
        "method = \"metadata\"  # or service-account or workload-identity, as its environment was\n",
    );
    text
}

/// `k=v|k=v`, and `k=v,k=v` of a file's list.
fn tags(text: &str) -> String {
    let pairs = text.split(['|', ',']).filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> =
        pairs.map(|(tag, value)| format!("{} = {}", quoted(tag.trim()), quoted(value.trim()))).collect();
    format!("tags = {{ {} }}\n", pairs.join(", "))
}

fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|one| !one.is_control()).collect();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Where the package's fetcher finds what `LoadCredentialEncrypted=` gives it.
const SECRETS: &str = "/run/credentials/bls-signer-fetch.service";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::web3signer::command_line::CommandLine;
    use crate::config::Environment;

    fn sources(line: &str) -> Vec<FetchSource> {
        let words = line.split(' ').map(Into::into).collect();
        let line = CommandLine::parse(words).unwrap();
        of(&Given::gather(line.values, &Environment::default()).unwrap())
    }

    #[test]
    fn what_is_loaded_in_bulk_is_a_source_without_its_secrets() {
        let [aws] = &sources(
            "eth2 --aws-secrets-enabled=true --aws-secrets-region=eu-central-1 --aws-secrets-access-key-id=AKIA \
             --aws-secrets-secret-access-key=canary --aws-secrets-prefixes-filter=a/,b/ --aws-secrets-tag=x=y|z=1",
        )[..] else {
            panic!("one source")
        };
        assert_eq!(aws.name, "aws");
        assert_eq!(
            aws.text,
            "type = \"aws-secrets-manager\"\nregion = \"eu-central-1\"\nprefixes = [\"a/\", \"b/\"]\n\
             tags = { \"x\" = \"y\", \"z\" = \"1\" }\n\n[login]\nmethod = \"keys\"\naccess_key_id = \"AKIA\"\n\
             secret_access_key_file = \"/run/credentials/bls-signer-fetch.service/aws\"  # for its owner alone\n"
        );
        let both = sources(
            "eth2 --azure-vault-enabled=true --azure-vault-name=v --azure-client-secret=canary \
             --gcp-secrets-enabled=true --gcp-project-id=p --gcp-secrets-filter=labels.a=b",
        );
        assert_eq!(both.iter().map(|source| source.name).collect::<Vec<_>>(), ["azure", "google"]);
        assert!(both[0].text.contains("tenant = \"...\"  # azure-tenant-id"), "{}", both[0].text);
        assert!(both[1].text.contains("filter = \"labels.a=b\""), "{}", both[1].text);
        assert!(both.iter().all(|source| !source.text.contains("canary")));
        assert!(sources("eth2 --aws-secrets-enabled=false --gcp-project-id=p").is_empty());
    }
}
