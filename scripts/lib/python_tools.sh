# shellcheck shell=bash
# Python tools that Debian does not have, or not in one version. local/python/NAME.txt pins each
# with everything that it needs, by version and hash. Each has a virtual environment below .tools/.
# Source base.sh first.

# NAME: prints the folder of its programs, installed the first time; false, with a warning that says
# why, when it cannot be installed (no network, no python3-venv)
python_tool() {
  local pins=$ROOT/local/python/$1.txt home log version
  version=$( (/usr/bin/python3 --version && cat "$pins") | sha256sum)
  home=$ROOT/.tools/$1-${version:0:12}
  if [[ ! -e $home/installed ]]; then
    mkdir -p "$ROOT/.tools"
    log=$ROOT/.tools/$1.log
    step "installing $1 into ${home#"$ROOT"/}, once"
    rm -rf "$home"
    {
      /usr/bin/python3 -m venv "$home" &&
        "$home/bin/pip" install --disable-pip-version-check --no-input --retries 1 --timeout 10 \
          --require-hashes --requirement "$pins"
    } >"$log" 2>&1 || {
      warn "$1 cannot be installed: $(grep -i error "$log" | tail -n 1)"
      warn "(all that was printed is in ${log#"$ROOT"/})"
      rm -rf "$home"
      return 1
    }
    touch "$home/installed"
  fi
  echo "$home/bin"
}
