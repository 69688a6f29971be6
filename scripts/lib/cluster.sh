# shellcheck shell=bash
# Shared by the commands of the group `cluster`: names of images, the cluster that kubectl reaches.
# Sourced after base.sh.

: "${FASTSTOCK_RELEASE:=faststock}"   # helm release
: "${FASTSTOCK_NAMESPACE:=faststock}" # its namespace
# where images are pushed to, e.g. ghcr.io/acme; empty: they stay local
: "${FASTSTOCK_REGISTRY:=}"          
# command that takes docker's build options; empty: docker build, or buildah
: "${FASTSTOCK_IMAGE_BUILD:=}"       
# command that gets image names and hands them to the cluster; `none`: nothing to do
: "${FASTSTOCK_IMAGE_LOAD:=}"        
# gateway or ingress-nginx; empty: in kind by what is there, elsewhere by the values
: "${FASTSTOCK_ROUTING:=}"
: "${FASTSTOCK_GATEWAY:=envoy-gateway-system/gateway}" # NAMESPACE/NAME of the Gateway

# shellcheck disable=SC2034 # used by the commands
CHART=$ROOT/helm/faststock
# shellcheck disable=SC2034
IMAGES=(read-svc write-svc migrate pgbouncer)

# shellcheck disable=SC2034
LAST_TAG=$FASTSTOCK_RUN_DIR/image-tag # what ./dev images built last

# The tag follows from the content that goes into the images: unchanged sources keep their tag, and
# pods are not replaced.
image_tag() {
  if [[ -n ${FASTSTOCK_TAG:-} ]]; then
    echo "$FASTSTOCK_TAG"
    return
  fi
  local paths=(Dockerfile .dockerignore CMakeLists.txt CMakePresets.json
    common docs/openapi.yaml read-svc write-svc sql k8s/images)
  (cd "$ROOT" &&
    find "${paths[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum |
    sed 's/^\(.\{12\}\).*/dev-\1/')
}

image_ref() { # TARGET TAG
  echo "${FASTSTOCK_REGISTRY:+${FASTSTOCK_REGISTRY%/}/}faststock-$1:$2"
}

docker_works() { have docker && docker info >/dev/null 2>&1; }

image_tool() { # prints docker or buildah
  if docker_works; then
    echo docker
  elif have buildah; then
    echo buildah
  else
    die "neither a running docker nor buildah is here: install one, or say with" \
      "FASTSTOCK_IMAGE_BUILD how to build"
  fi
}

need_tools() { # NAME...: says where to get one that is missing, because Debian has none of them
  local tool
  for tool; do
    have "$tool" && continue
    case $tool in
      kubectl) die "kubectl is not on the PATH: https://kubernetes.io/docs/tasks" ;;
      helm)
        die "helm is not on the PATH (3.18 or later, or 4): https://helm.sh/docs/intro/install"
        ;;
      kind) die "kind is not on the PATH: https://kind.sigs.k8s.io" ;;
    esac
  done
}

need_cluster() {
  need_tools kubectl helm
  kubectl version >/dev/null 2>&1 ||
    die "kubectl reaches no cluster (context '$(kubectl config current-context 2>/dev/null)');" \
      "./dev kind up makes one"
}

# JSONPATH: a field of the Gateway; empty if it is not there
gateway_field() {
  kubectl --namespace "${FASTSTOCK_GATEWAY%/*}" get gateways.gateway.networking.k8s.io \
    "${FASTSTOCK_GATEWAY#*/}" --output "jsonpath=$1" 2>/dev/null || true
}

# Helm options of FASTSTOCK_ROUTING, a line each; the Gateway must have an address.
routing_options() {
  case $FASTSTOCK_ROUTING in
    '') ;;
    ingress-nginx) printf '%s\n' --set routing.mode=ingress-nginx ;;
    gateway)
      local address port
      address=$(gateway_field '{.status.addresses[0].value}')
      port=$(gateway_field '{.spec.listeners[0].port}')
      [[ -n $address && -n $port ]] ||
        die "no Gateway with an address at FASTSTOCK_GATEWAY=$FASTSTOCK_GATEWAY (NAMESPACE/NAME)"
      printf '%s\n' --set "routing.mode=gateway,routing.gateway.url=http://$address:$port" \
        --set "routing.gateway.parentRefs[0].namespace=${FASTSTOCK_GATEWAY%/*}" \
        --set "routing.gateway.parentRefs[0].name=${FASTSTOCK_GATEWAY#*/}"
      if kubectl get crd backendtrafficpolicies.gateway.envoyproxy.io >/dev/null 2>&1; then
        printf '%s\n' --set routing.gateway.envoyPolicy.enabled=true
      fi
      ;;
    *) die "FASTSTOCK_ROUTING is gateway, ingress-nginx or empty, not '$FASTSTOCK_ROUTING'" ;;
  esac
}

cluster_context() { kubectl config current-context 2>/dev/null || true; }

k() { kubectl --namespace "$FASTSTOCK_NAMESPACE" "$@"; }

# JSONPATH-LIKE KEYS...: a value of the installed release, e.g. release_value routing mode
release_value() {
  helm get values "$FASTSTOCK_RELEASE" --namespace "$FASTSTOCK_NAMESPACE" --all --output json |
    /usr/bin/python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, key: value[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# The first host of the release's routing; nothing where it serves any.
release_host() {
  helm get values "$FASTSTOCK_RELEASE" --namespace "$FASTSTOCK_NAMESPACE" --all --output json |
    /usr/bin/python3 -c 'import json, sys
print(*json.load(sys.stdin)["routing"]["hosts"][:1])'
}

# The prefix of the release's objects, as the chart makes it.
release_fullname() {
  local name
  local selector=app.kubernetes.io/instance=$FASTSTOCK_RELEASE,app.kubernetes.io/component=read-svc
  name=$(k get deployments --selector "$selector" \
    --output 'jsonpath={.items[0].metadata.name}' 2>/dev/null) || true
  [[ -n $name ]] ||
    die "no release '$FASTSTOCK_RELEASE' in namespace '$FASTSTOCK_NAMESPACE': ./dev deploy makes it"
  echo "${name%-read-svc}"
}
