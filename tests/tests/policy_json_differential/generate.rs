//! Documents drawn from the format of policy.json, with something wrong now and then.

use fuzz_harness::Mutator;

/// One document.
pub(crate) fn document(mutator: &mut Mutator<'_>) -> Vec<u8> {
    let wrong = mutator.once_in(2);
    let mut draw = Draw { mutator, wrong };
    let mut fields = vec![field("default", draw.rules())];
    if !draw.mutator.once_in(6) {
        let transports = draw.transports();
        fields.push(field("transports", transports));
    }
    draw.object(fields).into_bytes()
}

type Field = (String, String);

fn field(name: &str, value: String) -> Field {
    (name.to_owned(), value)
}

fn text(value: &str) -> String {
    format!("\"{value}\"")
}

struct Draw<'a, 'b> {
    mutator: &'a mut Mutator<'b>,
    /// Whether the document may have something wrong.
    wrong: bool,
}

impl Draw<'_, '_> {
    /// Now and then, in a document that may have something wrong.
    fn slips(&mut self, once_in: usize) -> bool {
        self.wrong && self.mutator.once_in(once_in)
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.mutator.below(all.len())]
    }

    fn object(&mut self, mut fields: Vec<Field>) -> String {
        if self.slips(12) {
            match self.mutator.below(6) {
                0 => drop(fields.pop()),
                1 if !fields.is_empty() => {
                    let at = self.mutator.below(fields.len());
                    fields.push(fields[at].clone());
                }
                2 => fields.push(field("unknown", "true".to_owned())),
                3 if !fields.is_empty() => {
                    let at = self.mutator.below(fields.len());
                    fields[at].0 = fields[at].0.to_uppercase();
                }
                4 if !fields.is_empty() => {
                    let at = self.mutator.below(fields.len());
                    let value = self.of(&[
                        "null", "0", "\\\"", "[]", "{}", "\"\"", "true", "[null]", "\"x\"",
                    ]);
                    value.clone_into(&mut fields[at].1);
                }
                _ => fields.reverse(),
            }
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn list(&mut self, item: fn(&mut Self) -> String) -> String {
        let least = usize::from(!self.slips(12));
        let count = least + self.mutator.below(3);
        let items: Vec<String> = (0..count).map(|_| item(self)).collect();
        format!("[{}]", items.join(","))
    }

    fn transports(&mut self) -> String {
        let mut fields = Vec::new();
        for name in ["docker", "docker-daemon", "dir", "unheard-of"] {
            if self.mutator.once_in(2) {
                let scopes = self.scopes(name);
                fields.push(field(name, scopes));
            }
        }
        self.object(fields)
    }

    fn scopes(&mut self, transport: &str) -> String {
        let names: &[&str] = match transport {
            "docker" => &[
                "",
                "a.example",
                "A.example:443/x",
                "*.example",
                "docker.io/acme",
                "a.example/b:v1",
                "anything at all",
            ],
            "dir" if !self.slips(3) => &["", "/a", "/a/b"],
            _ => &["", "a", "/a/../b", "//"],
        };
        let first = self.mutator.below(names.len());
        let count = self.mutator.below(3).min(names.len() - first);
        let fields = names[first..first + count].iter();
        let fields: Vec<Field> = fields.map(|name| field(name, self.rules())).collect();
        self.object(fields)
    }

    fn rules(&mut self) -> String {
        self.list(Self::rule)
    }

    fn rule(&mut self) -> String {
        let kind = match self.mutator.below(10) {
            0 | 1 => "insecureAcceptAnything",
            2 => "reject",
            3 => "signedBaseLayer",
            4 => "signedBy",
            _ => "sigstoreSigned",
        };
        let mut fields = vec![field("type", text(kind))];
        match kind {
            "signedBaseLayer" => fields.push(field("baseLayerIdentity", self.identity())),
            "signedBy" => self.signed_by(&mut fields),
            "sigstoreSigned" => self.sigstore(&mut fields),
            _ => {}
        }
        if kind.starts_with("sig") && self.mutator.once_in(2) {
            fields.push(field("signedIdentity", self.identity()));
        }
        self.object(fields)
    }

    fn signed_by(&mut self, fields: &mut Vec<Field>) {
        let kinds = [
            "GPGKeys",
            "signedByGPGKeys",
            "X509Certificates",
            "signedByX509CAs",
        ];
        let kind = if self.slips(20) {
            "gpgkeys"
        } else {
            self.of(&kinds)
        };
        fields.push(field("keyType", text(kind)));
        for _ in 0..=usize::from(self.slips(10)) {
            let key = match self.mutator.below(3) {
                0 => field("keyPath", self.path()),
                1 => field("keyPaths", self.list(Self::path)),
                _ => field("keyData", self.base64()),
            };
            fields.push(key);
        }
    }

    fn sigstore(&mut self, fields: &mut Vec<Field>) {
        let kind = self.mutator.below(6);
        for _ in 0..=usize::from(self.slips(10)) {
            let key = match kind {
                0 => field("keyPath", self.path()),
                1 => field("keyPaths", self.list(Self::path)),
                2 => field("keyData", self.base64()),
                3 => field("keyDatas", self.list(Self::base64)),
                4 => field("fulcio", self.fulcio()),
                _ => field("pki", self.pki()),
            };
            fields.push(key);
        }
        if self.slips(10) {
            // As absent, for a reader that counts what is not empty.
            let value = self.of(&["\"\"", "null"]);
            fields.push(field("keyPath", value.to_owned()));
        }
        let logged = match kind {
            4 => !self.slips(10),
            5 => self.slips(10),
            _ => self.mutator.once_in(2),
        };
        for _ in 0..usize::from(logged) + usize::from(self.slips(20)) {
            let log = match self.mutator.below(4) {
                0 => field("rekorPublicKeyPath", self.path()),
                1 => field("rekorPublicKeyPaths", self.list(Self::path)),
                2 => field("rekorPublicKeyData", self.base64()),
                _ => field("rekorPublicKeyDatas", self.list(Self::base64)),
            };
            fields.push(log);
        }
    }

    fn fulcio(&mut self) -> String {
        let ca = if self.mutator.once_in(2) {
            field("caPath", self.path())
        } else {
            field("caData", self.base64())
        };
        let mut fields = vec![
            ca,
            field("oidcIssuer", self.word()),
            field("subjectEmail", self.word()),
        ];
        if self.slips(10) {
            fields.push(field("caPath", text("")));
        }
        self.object(fields)
    }

    fn pki(&mut self) -> String {
        let mut fields = Vec::new();
        fields.push(if self.mutator.once_in(2) {
            field("caRootsPath", self.path())
        } else {
            field("caRootsData", self.base64())
        });
        match self.mutator.below(4) {
            0 => fields.push(field("caIntermediatesPath", self.path())),
            1 => fields.push(field("caIntermediatesData", self.base64())),
            _ => {}
        }
        let names = self.mutator.below(3);
        if names != 0 {
            fields.push(field("subjectEmail", self.word()));
        }
        if names != 1 {
            fields.push(field("subjectHostname", self.word()));
        }
        self.object(fields)
    }

    fn identity(&mut self) -> String {
        let kinds = [
            "matchExact",
            "matchRepoDigestOrExact",
            "matchRepository",
            "exactReference",
            "exactRepository",
            "remapIdentity",
        ];
        let kind = self.of(&kinds);
        let mut fields = vec![field("type", text(kind))];
        match kind {
            "exactReference" => fields.push(field("dockerReference", self.name(true))),
            "exactRepository" => fields.push(field("dockerRepository", self.name(false))),
            "remapIdentity" => {
                fields.push(field("prefix", self.prefix()));
                fields.push(field("signedPrefix", self.prefix()));
            }
            _ => {}
        }
        self.object(fields)
    }

    fn word(&mut self) -> String {
        if self.slips(10) {
            return self.of(&["\"\"", "null", "\"\\ud800\"", "0"]).to_owned();
        }
        text(self.of(&[
            "a@example.com",
            "https://issuer.example",
            "build.example",
            "\\u00e4 \\\"",
            "ä",
        ]))
    }

    fn path(&mut self) -> String {
        if self.slips(10) {
            return self
                .of(&["\"\"", "null", "\"\\udc00x\"", "[]", "1"])
                .to_owned();
        }
        text(self.of(&["/etc/pki/key", "relative", "/a b", "\\ud83d\\ude00"]))
    }

    fn base64(&mut self) -> String {
        if self.slips(40) {
            return self
                .of(&[
                    "[0,65,255]",
                    "[]",
                    "[null]",
                    "[256]",
                    "[-1]",
                    "[1.0]",
                    "null",
                ])
                .to_owned();
        }
        if self.slips(6) {
            let wrong = [
                "AA\\nAA",
                "AAAA\\r\\n",
                "AB==",
                "AAB=",
                "AA=",
                "AA",
                "A-_A",
                " AAAA",
                "AA==AAAA",
                "====",
                "=",
                "AA\\tAA",
                "\\u0041AAA",
                "AA=\\n=",
            ];
            return text(self.of(&wrong));
        }
        text(self.of(&["AAAA", "AA==", "AAA=", "", "LS0tLS1CRUdJTg==", "+/+/"]))
    }

    fn prefix(&mut self) -> String {
        if self.slips(20) {
            return text(&format!(
                "a.example/{}",
                "a".repeat(240 + self.mutator.below(20))
            ));
        }
        if self.slips(4) {
            let wrong = [
                "A.example",
                "a.example:0443/x",
                "a.example:99999",
                "a.example/",
                "a.example/X",
                "[::1]",
                "",
                "a.example:",
                "a.example/x:v1",
                "a..example",
                "a_b.example",
                "*.example",
                "a.example\\n",
                "a.example/a___b",
                "-a",
                "a-",
            ];
            return text(self.of(&wrong));
        }
        text(self.of(&[
            "a.example",
            "a.example:5000",
            "a.example/team",
            "localhost",
            "short",
            "short/er",
            "127.0.0.1",
        ]))
    }

    fn name(&mut self, version: bool) -> String {
        let mut name = self
            .of(&[
                "a.example/app",
                "a.example:5000/team/app",
                "docker.io/app",
                "app",
                "acme/app",
                "localhost/a",
            ])
            .to_owned();
        if self.slips(4) {
            let wrong = [
                "A.example/app",
                "Team/app",
                "a.example:0443/app",
                "a.example:99999/app",
                "a.example:0/app",
                "[::1]:5000/app",
                "a.example/App",
                "a.example//app",
                "a.example/a___b",
                "a.example/a-_b",
                "a_b.example/app",
                "-a.example/app",
                "a.example./app",
                "",
                "a.example/",
                "/app",
                "a.example/app\\n",
                "\\u212a.example/app",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "index.docker.io/app",
                "a.example/app/",
            ];
            self.of(&wrong).clone_into(&mut name);
        }
        if self.slips(12) {
            // What CRI-O takes and ours does not is too rare among the others.
            let stricter = [
                "A.example/app",
                "a_b.example/app",
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            ];
            self.of(&stricter).clone_into(&mut name);
        }
        if self.slips(20) {
            name = format!("a.example/{}", "a".repeat(240 + self.mutator.below(20)));
        }
        if version != self.slips(12) {
            let sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
            let version = match self.mutator.below(if self.wrong { 9 } else { 3 }) {
                0 => ":v1".to_owned(),
                1 => format!("@sha256:{sha256}"),
                2 => format!(":v1@sha256:{sha256}"),
                3 => format!("@sha512:{sha256}{sha256}"),
                4 => format!("@sha384:{}", "0a".repeat(48)),
                5 => format!("@sha256:{}", sha256.to_uppercase()),
                6 => format!("@sha256:{}", &sha256[1..]),
                7 => format!("@md5:{}", &sha256[..32]),
                _ => format!(":{}", "t".repeat(127 + self.mutator.below(3))),
            };
            name.push_str(&version);
        }
        text(&name)
    }
}
