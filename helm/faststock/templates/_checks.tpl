{{/*
What must add up before anything is installed. Each check fails the render with the sum, its
parts, and what to change.
*/}}

{{/* The most replicas of a service: (dict "service" .Values.readSvc) */}}
{{- define "faststock.maxReplicas" -}}
{{- if eq .service.autoscaling.mode "none" -}}
{{- int .service.replicas -}}
{{- else -}}
{{- int .service.autoscaling.maxReplicas -}}
{{- end -}}
{{- end -}}

{{/* The pods that a rolling update adds to them: (dict "service" .Values.readSvc) */}}
{{- define "faststock.surge" -}}
{{- $max := include "faststock.maxReplicas" . | int -}}
{{- $surge := toString .service.rollout.maxSurge -}}
{{- if hasSuffix "%" $surge -}}
{{- divf (mul $max (trimSuffix "%" $surge | int)) 100 | ceil | int -}}
{{- else -}}
{{- int $surge -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkConnections" -}}
{{- $read := .Values.readSvc -}}{{- $write := .Values.writeSvc -}}
{{- $rMax := include "faststock.maxReplicas" (dict "service" $read) | int -}}
{{- $rSurge := include "faststock.surge" (dict "service" $read) | int -}}
{{- $wMax := include "faststock.maxReplicas" (dict "service" $write) | int -}}
{{- $wSurge := include "faststock.surge" (dict "service" $write) | int -}}
{{- $rSum := mul (add $rMax $rSurge) (int $read.poolSize) | int -}}
{{- $wSum := mul (add $wMax $wSurge) (int $write.poolSize) | int -}}
{{- $direct := add $wMax $wSurge | int -}}
{{- $reserved := int .Values.postgres.reservedConnections -}}
{{- $sum := add $rSum $wSum $direct $reserved | int -}}
{{- $limit := int .Values.postgres.maxConnections -}}
{{- if gt $sum $limit -}}
{{- fail (printf `

The pods may want %d connections, PostgreSQL allows %d (postgres.maxConnections):
  read-svc   (%d replicas + %d surge) x poolSize %d = %d
  write-svc  (%d replicas + %d surge) x poolSize %d = %d
  write-svc  direct, one a pod = %d
  postgres.reservedConnections = %d
Raise postgres.maxConnections by %d, or lower maxReplicas, rollout.maxSurge or poolSize of readSvc
or writeSvc
` $sum $limit $rMax $rSurge (int $read.poolSize) $rSum $wMax $wSurge (int $write.poolSize) $wSum
  $direct $reserved (sub $sum $limit)) -}}
{{- end -}}
{{- if .Values.postgres.replica.host -}}
{{- $limit := int .Values.postgres.replica.maxConnections -}}
{{- $sum := add $rSum $reserved | int -}}
{{- if gt $sum $limit -}}
{{- fail (printf `

The pods may want %d connections of the replica, which allows %d (postgres.replica.maxConnections):
  read-svc   (%d replicas + %d surge) x poolSize %d = %d
  postgres.reservedConnections = %d
Raise postgres.replica.maxConnections by %d, or lower maxReplicas, rollout.maxSurge or poolSize of
readSvc
` $sum $limit $rMax $rSurge (int $read.poolSize) $rSum $reserved (sub $sum $limit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkThreads" -}}
{{- $clients := int .Values.pgbouncer.maxClientConn -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $s := get $.Values $key -}}
{{- $threads := int (default 128 ($s.config.http | default dict).threads) -}}
{{- $pools := int $s.poolSize -}}
{{- if and (eq $key "readSvc") $.Values.postgres.replica.host -}}
{{- $pools = mul 2 $pools | int -}}
{{- end -}}
{{- $most := add (max $threads $pools) 2 | int -}}
{{- if gt $most $clients -}}
{{- fail (printf `

A pod of %s may need %d client connections of its PgBouncer, which takes %d
(pgbouncer.maxClientConn):
  the larger of %s.config.http.threads %d and its pools %d
  probes and the admin console 2
Raise pgbouncer.maxClientConn by %d, or lower %s.config.http.threads
` $key $most $clients $key $threads $pools (sub $most $clients) $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings that would go past the sums above: the chart has values of its own for them */}}
{{- define "faststock.checkSettings" -}}
{{- $sizes := "readSvc.poolSize and writeSvc.poolSize" -}}
{{- $owned := dict "default_pool_size" $sizes "max_client_conn" "pgbouncer.maxClientConn"
  "reserve_pool_size" (printf "%s, which count" $sizes) -}}
{{- range $setting, $instead := $owned -}}
{{- if hasKey ($.Values.pgbouncer.settings | default dict) $setting -}}
{{- fail (printf "pgbouncer.settings.%s would not be in the connection budget: set %s"
  $setting $instead) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (.Values.postgres.bundled.settings | default dict) "max_connections" -}}
{{- fail (printf "postgres.bundled.settings.max_connections would not be in the %s"
  "connection budget: set postgres.maxConnections") -}}
{{- end -}}
{{- end -}}

{{/* The names of Services begin with a letter and have no dots */}}
{{- define "faststock.checkNames" -}}
{{- $fullname := include "faststock.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "the objects would be called %s-..., but names of Services begin with a letter %s"
  $fullname (printf "and consist of a-z, 0-9 and -: %s"
  "choose another release name, or set fullnameOverride")) -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkAnnotations" -}}
{{- range $name, $_ := .Values.commonAnnotations -}}
{{- if hasPrefix "helm.sh/hook" $name -}}
{{- fail (printf "commonAnnotations: %s would make each object a hook, so none would belong to %s"
  $name "the release: remove it") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkRollout" -}}
{{- $none := list "0" "0%" -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $r := (get $.Values $key).rollout -}}
{{- if and (has (toString $r.maxSurge) $none) (has (toString $r.maxUnavailable) $none) -}}
{{- fail (printf "%s.rollout: maxSurge and maxUnavailable are both 0, so no pod could be %s"
  $key "replaced: set one of them to 1") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Hosts stand in URLs and in pgbouncer.ini, so each is one name or address: (dict "name"
"postgres.external.host" "host" HOST "several" "why there cannot be several")
*/}}
{{- define "faststock.checkHost" -}}
{{- $is := printf "%s is '%s'" .name .host -}}
{{- if contains "://" .host -}}
{{- fail (printf "%s, a URL: set the host alone; port, role, database and TLS have values of %s"
  (regexReplaceAll "//.*@" $is "//***@") "their own, and a whole URL belongs in a secret") -}}
{{- else if contains "," .host -}}
{{- fail (printf "%s, several hosts: %s" $is .several) -}}
{{- else if regexMatch "^(\\[.*\\]|[^:]*):[0-9]*$" .host -}}
{{- fail (printf "%s, with a port: the port has a value of its own beside it" $is) -}}
{{- else if hasPrefix "[" .host -}}
{{- fail (printf "%s: an IPv6 address stands here without brackets" $is) -}}
{{- else if not (regexMatch "^([-_.A-Za-z0-9]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$" .host) -}}
{{- fail (printf "%s: it may be a host name, an IPv4 or an IPv6 address" $is) -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkHosts" -}}
{{- $p := .Values.postgres -}}{{- $r := .Values.redis -}}
{{- $primary := "PgBouncer could not tell the primary from a standby; set one name that follows %s" -}}
{{- $primary = printf $primary "the primary (docs/stores.md)" -}}
{{- $replicas := "set one name that leads to the replicas, e.g. that of a Service" -}}
{{- $redis := "set the one that is the primary, or redis.external.sentinel" -}}
{{- $checks := list
  (list "postgres.external.host" $p.external.host $primary)
  (list "postgres.replica.host" $p.replica.host $replicas)
  (list "redis.external.host" $r.external.host $redis)
  (list "redis.replica.host" $r.replica.host $replicas) -}}
{{- range $r.external.sentinel.hosts -}}
{{- $checks = append $checks (list "redis.external.sentinel.hosts" . "give each as one of the list") -}}
{{- end -}}
{{- range $checks -}}
{{- include "faststock.checkHost" (dict "name" (index . 0) "host" (index . 1) "several" (index . 2)) -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkPostgresKeys" -}}
{{- $p := .Values.postgres -}}{{- $e := $p.external -}}
{{- range $key := list "uriKey" "hostKey" "portKey" "userKey" "databaseKey" -}}
{{- if and (get $e $key) (ne $p.mode "external") -}}
{{- fail (printf "postgres.external.%s is for postgres.mode external, not %s" $key $p.mode) -}}
{{- end -}}
{{- if and (get $e $key) $e.uriKey (ne $key "uriKey") -}}
{{- fail (printf "postgres.external.uriKey holds all of it: leave postgres.external.%s empty" $key) -}}
{{- end -}}
{{- end -}}
{{- $other := ternary "hostKey" "uriKey" (ne $e.hostKey "") -}}
{{- if and $e.host (or $e.hostKey $e.uriKey) -}}
{{- fail (printf "postgres.external.host and postgres.external.%s both tell the host: leave one %s"
  $other "of them empty") -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkPostgres" -}}
{{- $p := .Values.postgres -}}
{{- include "faststock.checkPostgresKeys" . -}}
{{- if eq $p.mode "external" -}}
{{- if not (or $p.external.host $p.external.hostKey $p.external.uriKey) -}}
{{- fail (printf "postgres.mode is external: set postgres.external.host, or %s"
  "postgres.external.hostKey or .uriKey, keys of postgres.existingSecret") -}}
{{- end -}}
{{- if not $p.existingSecret -}}
{{- fail (printf "postgres.mode is external: set postgres.existingSecret, a secret with the %s"
  "password (postgres.passwordKey)") -}}
{{- end -}}
{{- if and (hasPrefix "verify-" $p.external.sslmode) (not $p.external.caSecret) -}}
{{- fail (printf "postgres.external.sslmode %s: set postgres.external.caSecret, a secret with %s"
  $p.external.sslmode "the server's CA (postgres.external.caKey)") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkSentinel" -}}
{{- $r := .Values.redis -}}{{- $s := $r.external.sentinel -}}
{{- $isUsed := or $s.hosts $s.master $s.userKey $s.passwordKey -}}
{{- if and $isUsed (ne $r.mode "external") -}}
{{- fail (printf "redis.external.sentinel has settings, but redis.mode is %s: set it to external"
  $r.mode) -}}
{{- end -}}
{{- if and $r.urlKey (or $s.hosts $s.master) -}}
{{- fail (printf "redis.urlKey holds the Sentinels and the master's name, too: leave %s"
  "redis.external.sentinel.hosts and .master empty") -}}
{{- end -}}
{{- if and $s.hosts (not $s.master) -}}
{{- fail (printf "redis.external.sentinel.hosts: set redis.external.sentinel.master, the name %s"
  "of the Redis at the Sentinels") -}}
{{- end -}}
{{- if and $s.master (not $s.hosts) -}}
{{- fail "redis.external.sentinel.master: set redis.external.sentinel.hosts" -}}
{{- end -}}
{{- if and $s.hosts $r.external.host -}}
{{- fail (printf "redis.external.host and redis.external.sentinel.hosts are both set, but %s"
  "Sentinels tell the host: leave one of them empty") -}}
{{- end -}}
{{- if and $s.userKey (not $s.passwordKey) -}}
{{- fail "redis.external.sentinel.userKey: set redis.external.sentinel.passwordKey" -}}
{{- end -}}
{{- if and $s.passwordKey (not $r.existingSecret) -}}
{{- fail (printf "redis.external.sentinel.passwordKey: set redis.existingSecret, the secret %s"
  "that has this key") -}}
{{- end -}}
{{- if and $s.passwordKey (not $s.hosts) (not $r.urlKey) -}}
{{- fail "redis.external.sentinel.passwordKey: set redis.external.sentinel.hosts" -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkRedis" -}}
{{- $r := .Values.redis -}}{{- $tls := $r.external.tls -}}
{{- if and $r.urlKey (not $r.existingSecret) -}}
{{- fail "redis.urlKey: set redis.existingSecret, the secret that has this key" -}}
{{- end -}}
{{- if and $r.urlKey (ne $r.mode "external") -}}
{{- fail "redis.urlKey is for redis.mode external" -}}
{{- end -}}
{{- if and (eq $r.mode "external") (not $r.external.host) (not $r.urlKey)
  (not $r.external.sentinel.hosts) -}}
{{- fail (printf "redis.mode is external: set redis.external.host, or %s"
  "redis.existingSecret and redis.urlKey, or redis.external.sentinel.hosts and .master") -}}
{{- end -}}
{{- include "faststock.checkSentinel" . -}}
{{- if and $r.external.userKey (not $r.existingSecret) -}}
{{- fail "redis.external.userKey: set redis.existingSecret, the secret that has this key" -}}
{{- end -}}
{{- $hasTls := or $tls.enabled $r.urlKey -}}
{{- if and (or $tls.caSecret $tls.clientSecret $tls.serverName) (not $hasTls) -}}
{{- fail (printf "redis.external.tls has settings, but Redis would be reached without TLS: %s"
  "set redis.external.tls.enabled") -}}
{{- end -}}
{{- if and (ne $r.mode "external") (or $r.external.userKey $tls.enabled) -}}
{{- fail (printf "redis.external has settings, but redis.mode is %s: set it to external"
  $r.mode) -}}
{{- end -}}
{{- end -}}

{{/*
The major version in the tag of an image of PostgreSQL, or nothing: (dict "image"
"postgres:17-trixie")
*/}}
{{- define "faststock.postgresMajor" -}}
{{- $name := regexFind "[^/]*$" (regexReplaceAll "@.*$" .image "") -}}
{{- regexFind "^[0-9]+" (regexReplaceAll "^[^:]*:?" $name "") -}}
{{- end -}}

{{/*
Another major version of PostgreSQL cannot read the data on the volume of an installed release.
*/}}
{{- define "faststock.checkDataVersion" -}}
{{- $name := printf "%s-postgres" (include "faststock.fullname" .) -}}
{{- $installed := lookup "apps/v1" "StatefulSet" (include "faststock.namespace" .) $name -}}
{{- if and (eq .Values.postgres.mode "bundled") $installed -}}
{{- if ($installed.spec).volumeClaimTemplates -}}
{{- $wanted := .Values.images.postgres -}}
{{- $image := (first $installed.spec.template.spec.containers).image -}}
{{- $has := include "faststock.postgresMajor" (dict "image" $image) -}}
{{- $wants := include "faststock.postgresMajor" (dict "image" $wanted) -}}
{{- if and $has $wants (ne $has $wants) -}}
{{- fail (printf `

The release runs PostgreSQL %s, and images.postgres is %s, which cannot read its data.
Nothing was changed.
To upgrade and keep PostgreSQL %s: --set images.postgres=%s
To move to PostgreSQL %s: see "Another version of PostgreSQL" in the chart's README
` $has $wanted $has $image $wants) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkGitops" -}}
{{- if .Values.gitops.enabled -}}
{{- range $store := list "postgres" "redis" -}}
{{- $s := get $.Values $store -}}
{{- if and (eq $s.mode "bundled") (not $s.existingSecret) -}}
{{- fail (printf `

gitops.enabled: a password of the bundled %s would be generated by each render, which cannot look up
the one before, and the next apply would lock the services out.
Make a secret with the key %s, and set %s.existingSecret to its name
` $store $s.passwordKey $store) -}}
{{- end -}}
{{- end -}}
{{- else if .Values.gitops.argocdWaves -}}
{{- fail (printf "gitops.argocdWaves: Argo CD cannot look up what helm does: %s"
  "set gitops.enabled, too") -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkScaling" -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $s := get $.Values $key -}}
{{- $a := $s.autoscaling -}}
{{- $cpu := int $a.targetCPUUtilization -}}
{{- if ne $a.mode "none" -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas %d is above maxReplicas %d"
  $key (int $a.minReplicas) (int $a.maxReplicas)) -}}
{{- end -}}
{{- if and (eq $a.mode "hpa") (not $cpu) (not $a.metrics) -}}
{{- fail (printf "%s.autoscaling: without targetCPUUtilization it needs metrics" $key) -}}
{{- end -}}
{{- if and (eq $a.mode "keda") (not $cpu) (not $a.triggers) -}}
{{- fail (printf "%s.autoscaling: without targetCPUUtilization it needs triggers" $key) -}}
{{- end -}}
{{- if and $cpu (not (($s.resources | default dict).requests | default dict).cpu) -}}
{{- fail (printf "%s.autoscaling.targetCPUUtilization is a share of the CPU request: %s"
  $key (printf "set %s.resources.requests.cpu" $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How long the services keep an idle connection, ms: the shorter of the two */}}
{{- define "faststock.keepAlive" -}}
{{- $read := (.Values.readSvc.config.http | default dict).keep_alive_timeout_ms -}}
{{- $write := (.Values.writeSvc.config.http | default dict).keep_alive_timeout_ms -}}
{{- min (int64 (default 75000 $read)) (int64 (default 75000 $write)) -}}
{{- end -}}

{{/* How long a gateway keeps one, ms: four fifths of that, and at most a minute */}}
{{- define "faststock.gatewayIdle" -}}
{{- min 60000 (div (mul 4 (include "faststock.keepAlive" . | int)) 5) -}}
{{- end -}}

{{- define "faststock.checkRouting" -}}
{{- $r := .Values.routing -}}
{{- if and (eq $r.mode "f5") (not $r.hosts) -}}
{{- fail (printf "routing.mode f5 uses mergeable Ingress objects, which belong to one host each: %s"
  "set routing.hosts") -}}
{{- end -}}
{{- $policy := $r.gateway.envoyPolicy.enabled -}}
{{- if and (eq $r.mode "gateway") $r.rateLimit.enabled (not $policy) -}}
{{- fail (printf "routing.rateLimit: the Gateway API has no limit by client address; %s"
  (printf "%s %s" "set routing.gateway.envoyPolicy.enabled if the gateway is Envoy Gateway, or set"
  "the limit at the gateway and turn routing.rateLimit.enabled off")) -}}
{{- end -}}
{{- if and $policy (ne $r.mode "gateway") -}}
{{- fail (printf "routing.gateway.envoyPolicy is for routing.mode gateway, not %s" $r.mode) -}}
{{- end -}}
{{- if and $policy (lt (include "faststock.keepAlive" . | int) 1000) -}}
{{- fail (printf "routing.gateway.envoyPolicy: the gateway must close idle connections before %s"
  (printf "%s %s" "the services do; set http.keep_alive_timeout_ms of readSvc.config and"
  "writeSvc.config to 1000 or more")) -}}
{{- end -}}
{{- if and (eq $r.mode "gateway") $r.tlsSecret -}}
{{- fail (printf "routing.tlsSecret: with the Gateway API a certificate belongs to the Gateway's %s"
  "listener; leave it empty") -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checks" -}}
{{- include "faststock.checkNames" . -}}
{{- include "faststock.checkAnnotations" . -}}
{{- include "faststock.checkSettings" . -}}
{{- include "faststock.checkHosts" . -}}
{{- include "faststock.checkPostgres" . -}}
{{- include "faststock.checkRedis" . -}}
{{- include "faststock.checkGitops" . -}}
{{- include "faststock.checkDataVersion" . -}}
{{- include "faststock.checkScaling" . -}}
{{- include "faststock.checkRollout" . -}}
{{- include "faststock.checkRouting" . -}}
{{- include "faststock.checkConnections" . -}}
{{- include "faststock.checkThreads" . -}}
{{- end -}}
