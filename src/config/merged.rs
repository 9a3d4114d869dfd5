//! Second stage: one source laid over another. Options that replace each other are replaced together.

use super::tokens::{TokenFile, TokenOwner};
use super::{AuthToken, RawSettings};

impl RawSettings {
    /// These settings, with the gaps filled from a weaker source.
    ///
    /// Ways to say the same thing belong together: whoever says `host` or `port` is not overruled by a weaker `listen`,
    /// and the same holds for the token and its file.
    pub(super) fn over(self, weaker: Self) -> Self {
        let listen = if self.host.is_none() && self.port.is_none() { weaker.listen } else { None };
        let (host, port) = if self.listen.is_none() { (weaker.host, weaker.port) } else { (None, None) };
        let (auth_token, auth_token_file) = tokens(&self, weaker.auth_token, weaker.auth_token_file);
        Self {
            listen: self.listen.or(listen),
            host: self.host.or(host),
            port: self.port.or(port),
            tls_cert: self.tls_cert.or(weaker.tls_cert),
            tls_key: self.tls_key.or(weaker.tls_key),
            tls_keystore_file: self.tls_keystore_file.or(weaker.tls_keystore_file),
            tls_keystore_password_file: self.tls_keystore_password_file.or(weaker.tls_keystore_password_file),
            tls_client_ca: self.tls_client_ca.or(weaker.tls_client_ca),
            tls_client_crl: self.tls_client_crl.or(weaker.tls_client_crl),
            tls_known_clients_file: self.tls_known_clients_file.or(weaker.tls_known_clients_file),
            auth_token,
            auth_token_file,
            http_origin_allowlist: self.http_origin_allowlist.or(weaker.http_origin_allowlist),
            http_host_allowlist: self.http_host_allowlist.or(weaker.http_host_allowlist),
            allow_open_keymanager: self.allow_open_keymanager.or(weaker.allow_open_keymanager),
            network: self.network.or(weaker.network),
            state_dir: self.state_dir.or(weaker.state_dir),
            slashing_protection: self.slashing_protection.or(weaker.slashing_protection),
            require_ledger: self.require_ledger.or(weaker.require_ledger),
            unproven: self.unproven.or(weaker.unproven),
            state_fs: self.state_fs.or(weaker.state_fs),
            tpm_counter: self.tpm_counter.or(weaker.tpm_counter),
            tpm_device: self.tpm_device.or(weaker.tpm_device),
            shared_ledger: self.shared_ledger.or(weaker.shared_ledger),
            shared_ledger_durability: self.shared_ledger_durability.or(weaker.shared_ledger_durability),
            shared_ledger_password_file: self
                .shared_ledger_password_file
                .or(weaker.shared_ledger_password_file),
            shared_ledger_ca: self.shared_ledger_ca.or(weaker.shared_ledger_ca),
            refuse_far_future: self.refuse_far_future.or(weaker.refuse_far_future),
            shared_root_tables: self.shared_root_tables.or(weaker.shared_root_tables),
            raw_roots: self.raw_roots.or(weaker.raw_roots),
            proofs_of_validation: self.proofs_of_validation.or(weaker.proofs_of_validation),
            seal_file: self.seal_file.or(weaker.seal_file),
            keystores_path: self.keystores_path.or(weaker.keystores_path),
            keystores_passwords_path: self.keystores_passwords_path.or(weaker.keystores_passwords_path),
            key_config_path: self.key_config_path.or(weaker.key_config_path),
            fetch_socket: self.fetch_socket.or(weaker.fetch_socket),
            fetch_user: self.fetch_user.or(weaker.fetch_user),
            fd_store: self.fd_store.or(weaker.fd_store),
            kdf_memory: self.kdf_memory.or(weaker.kdf_memory),
            expected_keys: self.expected_keys.or(weaker.expected_keys),
            max_connections: self.max_connections.or(weaker.max_connections),
            max_requests: self.max_requests.or(weaker.max_requests),
            header_timeout: self.header_timeout.or(weaker.header_timeout),
            idle_timeout: self.idle_timeout.or(weaker.idle_timeout),
            signing_timeout: self.signing_timeout.or(weaker.signing_timeout),
            log_level: self.log_level.or(weaker.log_level),
            audit: self.audit.or(weaker.audit),
            log_format: self.log_format.or(weaker.log_format),
            client: self.client.or(weaker.client),
        }
    }
}

/// The token and the token files of both sources. A token, or a file without a role, replaces a weaker one; a file for
/// a role replaces only that role's: no other route loses its token by it.
fn tokens(
    stronger: &RawSettings,
    token: Option<AuthToken>,
    files: Option<Vec<TokenFile>>,
) -> (Option<AuthToken>, Option<Vec<TokenFile>>) {
    let named = stronger.auth_token_file.iter().flatten();
    let has = |owner| match owner {
        TokenOwner::EveryRole => {
            stronger.auth_token.is_some() || named.clone().any(|file| file.owner == TokenOwner::EveryRole)
        }
        TokenOwner::Signing | TokenOwner::Keymanager => named.clone().any(|file| file.owner == owner),
    };
    let token = stronger.auth_token.clone().or(token.filter(|_| !has(TokenOwner::EveryRole)));
    let weaker = files.into_iter().flatten().filter(|file| !has(file.owner));
    let files: Vec<TokenFile> = named.clone().cloned().chain(weaker).collect();
    (token, (!files.is_empty()).then_some(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> RawSettings {
        RawSettings::from_toml(text).ok().unwrap()
    }

    #[test]
    fn the_stronger_source_wins_and_gaps_are_filled() {
        let merged =
            toml("port = 1").over(toml("port = 2\nhost = '::1'")).over(toml("port = 3\nnetwork = 'hoodi'"));
        assert_eq!(merged.port, Some(1));
        assert_eq!(merged.host.as_deref(), Some("::1"));
        assert_eq!(merged.network.as_deref(), Some("hoodi"));
    }

    #[test]
    fn a_port_replaces_weaker_listeners_and_the_other_way_round() {
        let merged = toml("port = 1").over(toml("listen = ['all=unix:/a']"));
        assert_eq!((merged.port, merged.listen), (Some(1), None));
        let merged = toml("listen = ['all=unix:/a']").over(toml("port = 1\nhost = '::1'"));
        assert_eq!((merged.port, merged.host), (None, None));
        assert!(merged.listen.is_some());
    }

    #[test]
    fn a_token_replaces_a_weaker_token_file_and_the_other_way_round() {
        let merged = toml("auth_token = 'a'").over(toml("auth_token_file = '/f'"));
        assert!(merged.auth_token.is_some() && merged.auth_token_file.is_none());
        let merged = toml("auth_token_file = '/f'").over(toml("auth_token = 'a'"));
        assert!(merged.auth_token.is_none() && merged.auth_token_file.is_some());
    }

    #[test]
    fn a_role_s_token_file_replaces_only_that_role_s() {
        let files = |stronger: &str, weaker: &str| {
            let merged = toml(stronger).over(toml(weaker));
            let files: Vec<_> = merged.auth_token_file.into_iter().flatten().collect();
            (merged.auth_token.is_some(), files)
        };
        let parsed =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<TokenFile>>();
        let keymanager = "auth_token_file = 'keymanager=/k'";
        assert_eq!(files(keymanager, "auth_token = 'a'"), (true, parsed(&["keymanager=/k"])));
        assert_eq!(files("auth_token = 'a'", keymanager), (true, parsed(&["keymanager=/k"])));
        let weaker = "auth_token_file = ['/f', 'signing=/s', 'keymanager=/l']";
        assert_eq!(files(keymanager, weaker), (false, parsed(&["keymanager=/k", "/f", "signing=/s"])));
        let every = files("auth_token = 'a'", weaker);
        assert_eq!(every, (true, parsed(&["signing=/s", "keymanager=/l"])));
    }
}
