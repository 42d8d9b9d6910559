#!/usr/bin/env bash
# make_fixtures.sh: writes tests/fixtures anew, by the kernel (fixtures.py says what they are).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../fixtures"
exec "$here/boot.sh" -o "$here/../fixtures" "$here/fixtures.py"
