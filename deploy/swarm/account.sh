# shellcheck shell=sh
# Generates the key of the proxies' account at the certificate authority, unless the key exists. Prints the thumbprint of the key
# (RFC 7638), which the proxies need to answer the authority's ACME challenges. stack.sh runs this script in the product's
# image, and mounts the folder $state/secrets as /secrets.
set -eu

key=/secrets/volumes/acme_account_key

base64url() {
    openssl base64 -A | tr +/ -_ | tr -d =
}

[ -s "$key" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$key"
# In the format DER, a public key ends with the coordinates x and y of a point on the curve, 32 bytes each.
openssl ec -in "$key" -pubout -outform DER 2>/dev/null | tail -c 64 >/tmp/point
x=$(head -c 32 /tmp/point | base64url)
y=$(tail -c 32 /tmp/point | base64url)
printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$x" "$y" | openssl sha256 -binary | base64url
