#!/usr/bin/env bash
# Runs Microsoft's own Python libraries, unmodified, against the emulator over HTTPS.
#
# Arguments go to unittest: run.sh test_msal.OnBehalfOf
# ENTRA_EMULATOR names a binary built already; the binary entrada lies beside it.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/interop/emulator-venv

if [ -z "${ENTRA_EMULATOR-}" ]; then
  cargo build --quiet --manifest-path "$root/Cargo.toml" -p entra-emulator -p entrada-gateway --bins
  ENTRA_EMULATOR=$target/debug/entra-emulator
fi

if ! cmp -s requirements.txt "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$venv/installed.txt"
fi

# Nothing of the machine's own may leak in: another CA bundle, a proxy, credentials.
unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy
unset "${!AZURE_@}"
export ENTRA_EMULATOR PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -W error::ResourceWarning -W ignore::UserWarning:msal -m unittest "${@:-discover}" --buffer
