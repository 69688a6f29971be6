# shellcheck shell=bash
# Programs from Go modules and images of them, for the builds of this folder. Sourced after base.sh;
# `OUT` is where source/ and programs/ are made, `IMAGE` the image.

# Its sources in $OUT/source, because the module's own folder cannot be written to.
fetch_module() { # MODULE VERSION
  local folder
  have go || die "Go is not on the PATH"
  mkdir -p "${OUT:?}/programs"
  [[ -d $OUT/source ]] && return
  folder=$(go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  [[ -d $folder ]] || die "the module $1 $2 cannot be had"
  cp -r "$folder" "$OUT/source"
  chmod -R u+w "$OUT/source"
}

build_program() { # NAME PACKAGE: of the module; unless it is there
  [[ -x ${OUT:?}/programs/$1 ]] && return
  step "building $1"
  (cd "$OUT/source" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' \
    -o "$OUT/programs/$1" "$2")
}

build_image() { # COMMAND...: from programs/, by the Dockerfile beside the script that runs
  step "building ${IMAGE:?}"
  "$@" --tag "$IMAGE" --file "$(dirname "$0")/Dockerfile" "${OUT:?}/programs" >/dev/null
}
