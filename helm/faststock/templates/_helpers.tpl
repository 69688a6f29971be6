{{/* Names and labels */}}

{{- define "faststock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "faststock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "faststock.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Selector labels of a component: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.selector" -}}
app.kubernetes.io/name: {{ include "faststock.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "faststock.labels" -}}
{{ include "faststock.selector" . }}
app.kubernetes.io/part-of: faststock
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where all objects are */}}
{{- define "faststock.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/*
Namespace, labels and annotations of an object: (dict "root" $ "component" "read-svc"), with its own
"labels" and "annotations", if any, which go before those of all objects. A "wave" is the order in
which Argo CD applies it, where that is asked for.
*/}}
{{- define "faststock.meta" -}}
namespace: {{ include "faststock.namespace" .root | quote }}
labels:
  {{- $labels := include "faststock.labels" . | fromYaml }}
  {{- mergeOverwrite $labels (.labels | default dict) | toYaml | nindent 2 }}
{{- $annotations := mergeOverwrite (dict) .root.Values.commonAnnotations }}
{{- if and .wave .root.Values.gitops.argocdWaves }}
{{- $_ := set $annotations "argocd.argoproj.io/sync-wave" .wave }}
{{- end }}
{{- with mergeOverwrite $annotations (.annotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Labels of a pod: none that change with the chart's version alone, because its pods would be
replaced
*/}}
{{- define "faststock.podLabels" -}}
{{ include "faststock.selector" . }}
app.kubernetes.io/part-of: faststock
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "faststock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "faststock.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The services by component: "read-svc" has its values under readSvc. */}}
{{- define "faststock.valuesKey" -}}
{{- if eq . "read-svc" -}}readSvc{{- else -}}writeSvc{{- end -}}
{{- end -}}

{{/* Image of a component of the project: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.image" -}}
{{- $i := .root.Values.images -}}
{{- $own := dict "read-svc" $i.readSvc "write-svc" $i.writeSvc "migrate" $i.migrate
  "pgbouncer" $i.pgbouncer -}}
{{- $full := get $own .component -}}
{{- if $full -}}
{{- $full -}}
{{- else -}}
{{- $name := printf "faststock-%s:%s" .component (default .root.Chart.AppVersion $i.tag) -}}
{{- with default .root.Values.global.imageRegistry $i.registry -}}
{{- trimSuffix "/" . -}}/
{{- end -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/*
An image that is not the project's: (dict "root" $ "image" IMAGE). A name without a registry, whose
first part would have a dot, a port, or be localhost, comes from global.imageRegistry.
*/}}
{{- define "faststock.storeImage" -}}
{{- $registry := .root.Values.global.imageRegistry -}}
{{- if and $registry (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" .image)) -}}
{{- trimSuffix "/" $registry -}}/
{{- end -}}
{{- .image -}}
{{- end -}}

{{/*
What every pod has: (dict "root" $ "of" VALUES "user" 999), the values of its component and the user
that its images run as. No token, and no service links, because their FASTSTOCK_... variables would
be taken for settings. Without a fixed user the platform gives the pod one, as OpenShift does.
*/}}
{{- define "faststock.podBasics" -}}
{{- $of := .of -}}
serviceAccountName: {{ include "faststock.serviceAccountName" .root | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat .root.Values.images.pullSecrets .root.Values.global.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- $security := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- if .root.Values.security.fixedUser }}
{{- range $field := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $_ := set $security $field $.user }}
{{- end }}
{{- end }}
securityContext: {{- mergeOverwrite $security $of.podSecurityContext | toYaml | nindent 2 }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName"
  "runtimeClassName" "hostAliases" "dnsPolicy" "dnsConfig" }}
{{- with get $of $field }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Security of a container of the chart: (dict "of" VALUES), the values of its component */}}
{{- define "faststock.containerSecurity" -}}
{{- $security := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true
  "capabilities" (dict "drop" (list "ALL")) -}}
{{- mergeOverwrite $security .of.securityContext | toYaml -}}
{{- end -}}

{{/* Labels and annotations of a pod's template: (dict "root" $ "component" "redis" "of" VALUES) */}}
{{- define "faststock.podMeta" -}}
{{- $labels := include "faststock.podLabels" . | fromYaml -}}
labels: {{- mergeOverwrite (deepCopy .of.podLabels) $labels | toYaml | nindent 2 }}
{{- with mergeOverwrite (.annotations | default dict) .of.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
A value as text. To helm, a number of a values file has a floating point: 1e+06 for a large one.
*/}}
{{- define "faststock.plain" -}}
{{- if kindIs "float64" . -}}{{ toJson . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* Stores */}}

{{- define "faststock.secretName" -}}{{ include "faststock.fullname" . }}-stores{{- end -}}

{{- define "faststock.postgres.secretName" -}}
{{- default (include "faststock.secretName" .) .Values.postgres.existingSecret -}}
{{- end -}}

{{- define "faststock.redis.secretName" -}}
{{- default (include "faststock.secretName" .) .Values.redis.existingSecret -}}
{{- end -}}

{{/* "true" when Redis has a password */}}
{{- define "faststock.redis.hasPassword" -}}
{{- if or (eq .Values.redis.mode "bundled") .Values.redis.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "faststock.postgres.host" -}}
{{- if eq .Values.postgres.mode "bundled" -}}
{{- include "faststock.fullname" . -}}-postgres
{{- else -}}
{{- .Values.postgres.external.host -}}
{{- end -}}
{{- end -}}

{{/* A host as it stands in a URL: an IPv6 address in brackets */}}
{{- define "faststock.urlHost" -}}
{{- if contains ":" . -}}[{{ . }}]{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "faststock.postgres.port" -}}
{{- ternary 5432 (int .Values.postgres.external.port) (eq .Values.postgres.mode "bundled") -}}
{{- end -}}

{{- define "faststock.postgres.sslmode" -}}
{{- ternary "disable" .Values.postgres.external.sslmode (eq .Values.postgres.mode "bundled") -}}
{{- end -}}

{{- define "faststock.postgres.caPath" -}}
/etc/faststock/postgres-ca/{{ .Values.postgres.external.caKey }}
{{- end -}}

{{- define "faststock.postgres.hasCA" -}}
{{- $p := .Values.postgres -}}
{{- if and (eq $p.mode "external") $p.external.caSecret -}}true{{- end -}}
{{- end -}}

{{/*
"true" where more than the password comes from the secret. Then the sidecar is told of the server
by a URL, and leaves the role for the service in a file.
*/}}
{{- define "faststock.postgres.hasKeys" -}}
{{- $e := .Values.postgres.external -}}
{{- if or $e.uriKey $e.hostKey $e.portKey $e.userKey $e.databaseKey -}}true{{- end -}}
{{- end -}}

{{/* Environment with a key of PostgreSQL's secret: (dict "root" $ "name" "PGPASSWORD" "key" "p") */}}
{{- define "faststock.postgres.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "faststock.postgres.secretName" .root | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/*
Environment with the password of PostgreSQL as PGPASSWORD, or as `name`. None where a whole URI
comes from the secret.
*/}}
{{- define "faststock.postgres.passwordEnv" -}}
{{- if not .root.Values.postgres.external.uriKey -}}
{{- $key := .root.Values.postgres.passwordKey -}}
{{- $name := .name | default "PGPASSWORD" -}}
{{- include "faststock.postgres.secretEnv" (dict "root" .root "name" $name "key" $key) -}}
{{- end -}}
{{- end -}}

{{/*
Environment with the URL that leads straight to PostgreSQL, for migrations, seed and the relay, as
DIRECT_URL or as `name`. The password comes from PGPASSWORD, so that it may hold any character. TLS
is told as PGSSLMODE where a whole URI comes from the secret, because such a URI may tell it itself.
*/}}
{{- define "faststock.postgres.directEnv" -}}
{{- $root := .root -}}
{{- $p := $root.Values.postgres -}}{{- $e := $p.external -}}
{{- $name := .name | default "DIRECT_URL" -}}
{{- $sslmode := include "faststock.postgres.sslmode" $root -}}
{{- $ca := include "faststock.postgres.hasCA" $root -}}
{{- $caPath := include "faststock.postgres.caPath" $root -}}
{{- if $e.uriKey }}
{{ include "faststock.postgres.secretEnv" (dict "root" $root "name" $name "key" $e.uriKey) }}
- {name: PGSSLMODE, value: {{ $sslmode }}}
{{- if $ca }}
- {name: PGSSLROOTCERT, value: {{ $caPath }}}
{{- end }}
{{- else }}
{{- $parts := dict "USER" $p.user "HOST" (include "faststock.postgres.host" $root)
  "PORT" (include "faststock.postgres.port" $root) "DATABASE" $p.database }}
{{- $_ := set $parts "HOST" (include "faststock.urlHost" $parts.HOST) }}
{{- range $part, $key := dict "USER" $e.userKey "HOST" $e.hostKey "PORT" $e.portKey
  "DATABASE" $e.databaseKey }}
{{- if $key }}
{{- $variable := printf "POSTGRES_%s" $part }}
{{ include "faststock.postgres.secretEnv" (dict "root" $root "name" $variable "key" $key) }}
{{- $_ := set $parts $part (printf "$(%s)" $variable) }}
{{- end }}
{{- end }}
{{- $url := printf "postgresql://%s@%s:%s/%s?sslmode=%s" $parts.USER $parts.HOST $parts.PORT
  $parts.DATABASE $sslmode }}
{{- if $ca }}{{ $url = printf "%s&sslrootcert=%s" $url $caPath }}{{ end }}
- {name: {{ $name }}, value: {{ $url | quote }}}
{{- end }}
{{- end -}}

{{/* Host and port of the replica, as in pgbouncer.ini; nothing where there is none */}}
{{- define "faststock.postgres.replica" -}}
{{- with .Values.postgres.replica -}}
{{- if .host -}}{{ printf "host=%s port=%d" .host (int .port) }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Environment of the sidecar: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.pgbouncerEnv" -}}
{{- $name := "PGBOUNCER_PASSWORD" -}}
{{- include "faststock.postgres.passwordEnv" (dict "root" .root "name" $name) }}
{{- if include "faststock.postgres.hasKeys" .root }}
{{- include "faststock.postgres.directEnv" (dict "root" .root "name" "PGBOUNCER_SERVER") }}
{{- $replica := include "faststock.postgres.replica" .root }}
{{- if and $replica (eq .component "read-svc") }}
- {name: PGBOUNCER_REPLICA, value: {{ $replica }}}
{{- end }}
{{- else }}
- {name: PGBOUNCER_USER, value: {{ .root.Values.postgres.user | quote }}}
{{- end }}
{{- end -}}

{{/* How a service reaches PostgreSQL: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.postgres.env" -}}
{{- $root := .root -}}
{{- $hasKeys := include "faststock.postgres.hasKeys" $root -}}
{{- $login := ternary "" (printf "%s@" $root.Values.postgres.user) (ne $hasKeys "") -}}
{{- $sidecar := printf "postgresql://%s127.0.0.1:6432/faststock" $login -}}
{{- include "faststock.postgres.passwordEnv" (dict "root" $root) }}
{{- if $hasKeys }}
- {name: PGSERVICEFILE, value: /run/pgbouncer/client.conf}
- {name: PGSERVICE, value: faststock}
{{- end }}
- {name: DATABASE_URL, value: "{{ $sidecar }}?sslmode=disable"}
{{- if eq .component "write-svc" }}
{{- include "faststock.postgres.directEnv" (dict "root" $root) }}
{{- else if $root.Values.postgres.replica.host }}
- {name: DATABASE_REPLICA_URL, value: "{{ $sidecar }}_replica?sslmode=disable"}
{{- end }}
{{- end -}}

{{/* Environment with a key of Redis' secret: (dict "root" $ "name" "REDIS_USER" "key" "user") */}}
{{- define "faststock.redis.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "faststock.redis.secretName" .root | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/* The part of a Redis URL before the host. Kubernetes puts the values of the secret into it. */}}
{{- define "faststock.redis.login" -}}
{{- $v := .Values.redis -}}
{{- $user := ternary "$(REDIS_USER)" "" (ne $v.external.userKey "") -}}
{{- if eq $v.mode "bundled" }}{{ $user = include "faststock.redis.bundledUser" . }}{{ end -}}
{{- if include "faststock.redis.hasPassword" . }}{{ $user }}:$(REDIS_PASSWORD)@{{ end -}}
{{- end -}}

{{/* REDIS_URL (and REDIS_REPLICA_URL where asked for: (dict "root" $ "replica" true)) */}}
{{- define "faststock.redis.env" -}}
{{- $v := .root.Values.redis -}}
{{- if ne $v.mode "none" -}}
{{- $replica := and .replica $v.replica.host -}}
{{- $external := eq $v.mode "external" -}}
{{- $scheme := ternary "rediss" "redis" (and $external $v.external.tls.enabled) -}}
{{- $login := include "faststock.redis.login" .root -}}
{{- $before := printf "%s://%s" $scheme $login -}}
{{- $db := ternary (int $v.external.database) 0 $external -}}
{{- if or (not $v.urlKey) $replica }}
{{- if and $external $v.external.userKey }}
{{- $key := $v.external.userKey }}
{{ include "faststock.redis.secretEnv" (dict "root" .root "name" "REDIS_USER" "key" $key) }}
{{- end }}
{{- if include "faststock.redis.hasPassword" .root }}
{{- $key := $v.passwordKey }}
{{ include "faststock.redis.secretEnv" (dict "root" .root "name" "REDIS_PASSWORD" "key" $key) }}
{{- end }}
{{- end }}
{{- if $v.urlKey }}
{{ include "faststock.redis.secretEnv" (dict "root" .root "name" "REDIS_URL" "key" $v.urlKey) }}
{{- else if and $external $v.external.sentinel.hosts }}
{{- $port := int $v.external.sentinel.port }}
{{- $hosts := list }}
{{- range $v.external.sentinel.hosts }}
{{- $hosts = append $hosts (printf "%s:%d" (include "faststock.urlHost" .) $port) }}
{{- end }}
- name: REDIS_URL
  value: {{ printf "%s+sentinel://%s%s/%s/%d" $scheme $login (join "," $hosts)
    $v.external.sentinel.master $db | quote }}
{{- else if $external }}
- name: REDIS_URL
  {{- $host := include "faststock.urlHost" $v.external.host }}
  value: {{ printf "%s%s:%d/%d" $before $host (int $v.external.port) $db | quote }}
{{- else }}
- name: REDIS_URL
  value: {{ printf "%s%s-redis:6379/0" $before (include "faststock.fullname" .root) | quote }}
{{- end }}
{{- if $replica }}
- name: REDIS_REPLICA_URL
  {{- $host := include "faststock.urlHost" $v.replica.host }}
  value: {{ printf "%s%s:%d/%d" $before $host (int $v.replica.port) $db | quote }}
{{- end }}
{{- if $external }}
{{- include "faststock.redis.sentinelEnv" .root }}
{{- include "faststock.redis.tlsEnv" .root }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "faststock.redis.sentinelEnv" -}}
{{- $sentinel := .Values.redis.external.sentinel -}}
{{- with $sentinel.userKey }}
{{ include "faststock.redis.secretEnv" (dict "root" $ "name" "FASTSTOCK_REDIS_SENTINEL_USER"
  "key" .) }}
{{- end }}
{{- with $sentinel.passwordKey }}
{{ include "faststock.redis.secretEnv" (dict "root" $ "name" "FASTSTOCK_REDIS_SENTINEL_PASSWORD"
  "key" .) }}
{{- end }}
{{- end -}}

{{- define "faststock.redis.tlsEnv" -}}
{{- $tls := .Values.redis.external.tls -}}
{{- if $tls.caSecret }}
- {name: FASTSTOCK_REDIS_TLS_CA_FILE, value: /etc/faststock/redis-ca/{{ $tls.caKey }}}
{{- end }}
{{- if $tls.clientSecret }}
- {name: FASTSTOCK_REDIS_TLS_CERT_FILE, value: /etc/faststock/redis-client/tls.crt}
- {name: FASTSTOCK_REDIS_TLS_KEY_FILE, value: /etc/faststock/redis-client/tls.key}
{{- end }}
{{- if $tls.serverName }}
- {name: FASTSTOCK_REDIS_TLS_SERVER_NAME, value: {{ $tls.serverName | quote }}}
{{- end }}
{{- end -}}

{{/* Secrets that a service finds as files: {name of the volume: name of the secret}, as YAML */}}
{{- define "faststock.redis.files" -}}
{{- if eq .Values.redis.mode "external" }}
{{- with .Values.redis.external.tls.caSecret }}
redis-ca: {{ . | quote }}
{{- end }}
{{- with .Values.redis.external.tls.clientSecret }}
redis-client: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The services' user of the bundled Redis. */}}
{{- define "faststock.redis.bundledUser" -}}faststock{{- end -}}

{{/*
The rights of the services' user at Redis, a word a line: docs/operations.md lists the commands.
*/}}
{{- define "faststock.redis.rights" -}}
{{- $prefixes := list -}}
{{- range list .Values.readSvc .Values.writeSvc -}}
{{- $prefixes = append $prefixes (dig "redis" "key_prefix" "fs" (.config | default dict)) -}}
{{- end -}}
{{- range $prefixes | uniq }}
~{{ . }}:*
{{- end }}
-@all
{{- range $command := list "info" "mget" "get" "getrange" "set" "del" "eval" "evalsha" "xadd"
  "pexpire" "xread" "xrevrange" }}
+{{ $command }}
{{- end }}
{{- end -}}

{{/* The YAML file of a service: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.serviceConfig" -}}
{{- $s := get .root.Values (include "faststock.valuesKey" .component) -}}
{{- $chart := dict "http" (dict "port" 8080) "ops" (dict "port" 9090)
  "database" (dict "pool_size" $s.poolSize) -}}
{{- if and (eq .component "write-svc") $s.tokensSecret -}}
{{- $_ := set $chart "auth" (dict "tokens_file" "/etc/faststock/auth/tokens") -}}
{{- end -}}
{{- with .root.Values.monitoring.traces.endpoint -}}
{{- $_ := set $chart "otel" (dict "endpoint" .) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy $s.config) $chart) -}}
{{- end -}}

{{/* pgbouncer.ini of a service's sidecar: (dict "root" $ "component" "read-svc") */}}
{{- define "faststock.pgbouncerConfig" -}}
{{- $root := .root -}}
{{- $v := $root.Values.postgres -}}
{{- $s := get $root.Values (include "faststock.valuesKey" .component) -}}
{{- $host := include "faststock.postgres.host" $root -}}
{{- $port := include "faststock.postgres.port" $root -}}
{{- $replica := include "faststock.postgres.replica" $root -}}
{{- $hasKeys := include "faststock.postgres.hasKeys" $root -}}
[databases]
{{- if $hasKeys }}
; written by the image's entrypoint
%include /run/pgbouncer/databases.ini
{{- else }}
faststock = {{ printf "host=%s port=%s dbname=%s" $host $port $v.database }}
{{- if and (eq .component "read-svc") $replica }}
faststock_replica = {{ $replica }} dbname={{ $v.database }}
{{- end }}
{{- end }}

[pgbouncer]
; only the containers of this pod reach it
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
; written by the image's entrypoint from the environment
auth_file = /run/pgbouncer/userlist.txt
{{- if not $hasKeys }}
stats_users = {{ $v.user }}
{{- end }}
pool_mode = transaction
default_pool_size = {{ int $s.poolSize }}
max_client_conn = {{ int $root.Values.pgbouncer.maxClientConn }}
; statements that the service prepares by name (database.prepared): PgBouncer prepares them on a
; server connection that does not have them yet
max_prepared_statements = 200
; an outage is the service's to judge: it is told soon, and the server is tried again each second
server_connect_timeout = 2
server_login_retry = 1
query_wait_timeout = 2
server_idle_timeout = 60
server_tls_sslmode = {{ include "faststock.postgres.sslmode" $root }}
{{- if include "faststock.postgres.hasCA" $root }}
server_tls_ca_file = {{ include "faststock.postgres.caPath" $root }}
{{- end }}
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
{{- range $name, $value := $root.Values.pgbouncer.settings }}
{{ $name }} = {{ include "faststock.plain" $value }}
{{- end }}
{{- end -}}

{{/* Seconds a pod may take to end: preStop, drain, the last requests, then the sidecar */}}
{{- define "faststock.gracePeriod" -}}
{{- $http := .service.config.http | default dict -}}
{{- $drain := int (dig "drain_ms" 5000 $http) -}}
{{- $request := int (default 2000 $http.request_timeout_ms) -}}
{{- $preStop := int .root.Values.shutdown.preStopSeconds -}}
{{- $needed := add $preStop (divf (add $drain $request) 1000 | ceil | int) 5 -}}
{{- $wanted := int .root.Values.shutdown.terminationGracePeriodSeconds -}}
{{- if and $wanted (lt $wanted (int $needed)) -}}
{{- fail (printf `

shutdown.terminationGracePeriodSeconds is %d, but %s needs %d s:
  preStop %d s + drain %d ms + request timeout %d ms + 5 s for the last answers and PgBouncer
Raise it (0 computes it), or lower shutdown.preStopSeconds, %s.config.http.drain_ms or
request_timeout_ms
` $wanted .component (int $needed) $preStop $drain $request
  (include "faststock.valuesKey" .component)) -}}
{{- end -}}
{{- default $needed $wanted -}}
{{- end -}}

{{/* "true" where read-svc has its pages for people, else nothing */}}
{{- define "faststock.hasConsole" -}}
{{- if has (dig "http" "console" "off" .Values.readSvc.config | toString) (list "on" "true") }}true{{ end -}}
{{- end -}}

{{/*
Routing: the paths that go to write-svc. The rest of /api goes to read-svc, and "/", "/problems/"
and "/docs" where it has pages there.
*/}}

{{- define "faststock.writePaths" -}}
- pattern: /api/products/[^/]+/update-stock
- pattern: /api/orders/[^/]+/cancel
- pattern: /api/reservations/[^/]+/(confirm|release)
- exact: /api/orders
- exact: /api/reservations
- exact: /api/stock/changes
- prefix: /api/catalog
{{- end -}}

{{/* One of these, whose body may be of any length and whose answer takes as long. */}}
{{- define "faststock.importPath" -}}/api/catalog/import{{- end -}}

{{/* The same as regular expressions that are matched from the start of a path. */}}
{{- define "faststock.writePatterns" -}}
{{- range include "faststock.writePaths" . | fromYamlArray }}
{{- if .prefix }}
- {{ printf "%s(/|$)" .prefix | quote }}
{{- else }}
- {{ printf "%s$" (default .pattern .exact) | quote }}
{{- end }}
{{- end }}
{{- end -}}
