#!/bin/sh
# Makes the certificates in this folder anew (OpenSSL 3). Private keys are thrown away.
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

key() { # name, curve
    openssl genpkey -quiet -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$keys/$1.key"
}
sign() { # name, subject, issuer, extensions
    openssl req -new -key "$keys/$1.key" -subj "$2" -out "$keys/$1.csr"
    printf 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n%b' "$4" >"$keys/ext"
    openssl x509 -req -in "$keys/$1.csr" -CA "$3.pem" -CAkey "$keys/$3.key" -days 36500 \
        -set_serial "0x$(openssl rand -hex 8)" -extfile "$keys/ext" -out "$1.pem" 2>/dev/null
}
root() { # name, subject, extensions of req
    openssl req -x509 -new -key "$keys/$1.key" -subj "$2" -days 36500 -out "$1.pem" \
        -set_serial "0x$(openssl rand -hex 8)" $3
}
CA='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'

for name in root-a root-b intermediate-a leaf tsa no-sign-ca no-usage-ca lost email-constraint-ca dns-constraint-ca; do key $name P-256; done
key issuing-a P-384
key unknown-curve secp256k1
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$keys/rsa-1024.key"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$keys/rsa-2048.key"

usage='-addext keyUsage=critical,keyCertSign,cRLSign'
root root-a '/O=example/CN=root' "$usage"
root root-b '/O=example/CN=root' "$usage"
root rsa-1024 '/O=example/CN=rsa 1024' "$usage"
root rsa-2048 '/O=example/CN=rsa 2048' "$usage"
root unknown-curve '/O=example/CN=unknown curve' "$usage"
root email-constraint-ca '/O=example/CN=email constraint' "$usage -addext nameConstraints=critical,permitted;email:corp.example"
root dns-constraint-ca '/O=example/CN=dns constraint' "$usage -addext nameConstraints=critical,permitted;DNS:corp.example"
root no-usage-ca '/O=example/CN=no usage' ''
root no-sign-ca '/O=example/CN=no sign' '-addext keyUsage=critical,digitalSignature'
sign intermediate-a '/O=example/CN=intermediate' root-a "${CA}"
sign issuing-a '/O=example/CN=issuing' intermediate-a "${CA}"
sign lost '/O=example/CN=lost' issuing-a "${CA}"
sign leaf '/O=example/CN=leaf' issuing-a 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
sign tsa '/O=example/CN=tsa' intermediate-a 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=critical,timeStamping\n'
openssl req -new -key "$keys/lost.key" -subj '/O=example/CN=version 1' -out "$keys/v1.csr"
openssl x509 -req -in "$keys/v1.csr" -signkey "$keys/lost.key" -days 36500 -out version-1.pem 2>/dev/null
