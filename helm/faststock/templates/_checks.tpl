{{/*
What must add up before anything is installed. Each check fails the render with the sum, its parts and what to change.
*/}}

{{/* Pods a service may have at once: most replicas and what a rolling update adds: (dict "service" .Values.readSvc) */}}
{{- define "faststock.maxReplicas" -}}
{{- if eq .service.autoscaling.mode "none" -}}{{ int .service.replicas }}{{- else -}}{{ int .service.autoscaling.maxReplicas }}{{- end -}}
{{- end -}}

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
{{- fail (printf "\n\nThe pods may want %d connections, PostgreSQL allows %d (postgres.maxConnections):\n  read-svc   (%d replicas + %d surge) x poolSize %d = %d\n  write-svc  (%d replicas + %d surge) x poolSize %d = %d\n  write-svc  direct, one a pod = %d\n  postgres.reservedConnections = %d\nRaise postgres.maxConnections by %d, or lower maxReplicas, rollout.maxSurge or poolSize of readSvc or writeSvc\n" $sum $limit $rMax $rSurge (int $read.poolSize) $rSum $wMax $wSurge (int $write.poolSize) $wSum $direct $reserved (sub $sum $limit)) -}}
{{- end -}}
{{- if .Values.postgres.replica.host -}}
{{- $limit := int .Values.postgres.replica.maxConnections -}}
{{- if gt (add $rSum $reserved | int) $limit -}}
{{- fail (printf "\n\nThe pods may want %d connections of the replica, which allows %d (postgres.replica.maxConnections):\n  read-svc   (%d replicas + %d surge) x poolSize %d = %d\n  postgres.reservedConnections = %d\nRaise postgres.replica.maxConnections by %d, or lower maxReplicas, rollout.maxSurge or poolSize of readSvc\n" (add $rSum $reserved) $limit $rMax $rSurge (int $read.poolSize) $rSum $reserved (sub (add $rSum $reserved) $limit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkThreads" -}}
{{- $clients := int .Values.pgbouncer.maxClientConn -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $s := get $.Values $key -}}
{{- $threads := int (default 128 ($s.config.http | default dict).threads) -}}
{{- $pools := int $s.poolSize -}}
{{- if and (eq $key "readSvc") $.Values.postgres.replica.host -}}{{- $pools = mul 2 $pools | int -}}{{- end -}}
{{- $most := add (max $threads $pools) 2 | int -}}
{{- if gt $most $clients -}}
{{- fail (printf "\n\nA pod of %s may need %d client connections of its PgBouncer, which takes %d (pgbouncer.maxClientConn):\n  the larger of %s.config.http.threads %d and its pools %d\n  probes and the admin console 2\nRaise pgbouncer.maxClientConn by %d, or lower %s.config.http.threads\n" $key $most $clients $key $threads $pools (sub $most $clients) $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings that would go past the sums above: the chart has values of its own for them */}}
{{- define "faststock.checkSettings" -}}
{{- $owned := dict "default_pool_size" "readSvc.poolSize and writeSvc.poolSize" "max_client_conn" "pgbouncer.maxClientConn" "reserve_pool_size" "readSvc.poolSize and writeSvc.poolSize, which count" -}}
{{- range $setting, $instead := $owned -}}
{{- if hasKey ($.Values.pgbouncer.settings | default dict) $setting -}}{{- fail (printf "pgbouncer.settings.%s would not be in the connection budget: set %s" $setting $instead) -}}{{- end -}}
{{- end -}}
{{- if hasKey (.Values.postgres.bundled.settings | default dict) "max_connections" -}}{{- fail "postgres.bundled.settings.max_connections would not be in the connection budget: set postgres.maxConnections" -}}{{- end -}}
{{- end -}}

{{/* The names of Services begin with a letter and have no dots */}}
{{- define "faststock.checkNames" -}}
{{- $fullname := include "faststock.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}{{- fail (printf "the objects would be called %s-..., but names of Services begin with a letter and consist of a-z, 0-9 and -: choose another release name, or set fullnameOverride" $fullname) -}}{{- end -}}
{{- end -}}

{{- define "faststock.checkRollout" -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $r := (get $.Values $key).rollout -}}
{{- if and (has (toString $r.maxSurge) (list "0" "0%")) (has (toString $r.maxUnavailable) (list "0" "0%")) -}}{{- fail (printf "%s.rollout: maxSurge and maxUnavailable are both 0, so no pod could be replaced: set one of them to 1" $key) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkStores" -}}
{{- $p := .Values.postgres -}}{{- $r := .Values.redis -}}
{{- if eq $p.mode "external" -}}
{{- if not $p.external.host -}}{{- fail "postgres.mode is external: set postgres.external.host" -}}{{- end -}}
{{- if not $p.existingSecret -}}{{- fail "postgres.mode is external: set postgres.existingSecret, a secret with the password (postgres.passwordKey)" -}}{{- end -}}
{{- if and (hasPrefix "verify-" $p.external.sslmode) (not $p.external.caSecret) -}}{{- fail (printf "postgres.external.sslmode %s: set postgres.external.caSecret, a secret with the server's CA (postgres.external.caKey)" $p.external.sslmode) -}}{{- end -}}
{{- end -}}
{{- if and $r.urlKey (not $r.existingSecret) -}}{{- fail "redis.urlKey: set redis.existingSecret, the secret that has this key" -}}{{- end -}}
{{- if and $r.urlKey (ne $r.mode "external") -}}{{- fail "redis.urlKey is for redis.mode external" -}}{{- end -}}
{{- if and (eq $r.mode "external") (not $r.external.host) (not $r.urlKey) -}}{{- fail "redis.mode is external: set redis.external.host, or redis.existingSecret and redis.urlKey" -}}{{- end -}}
{{- end -}}

{{- define "faststock.checkRedis" -}}
{{- $r := .Values.redis -}}{{- $tls := $r.external.tls -}}
{{- if and $r.external.userKey (not $r.existingSecret) -}}
{{- fail "redis.external.userKey: set redis.existingSecret, the secret that has this key" -}}
{{- end -}}
{{- if and (or $tls.caSecret $tls.clientSecret $tls.serverName) (not $tls.enabled) (not $r.urlKey) -}}
{{- fail "redis.external.tls has settings, but Redis would be reached without TLS: set redis.external.tls.enabled" -}}
{{- end -}}
{{- if and (ne $r.mode "external") (or $r.external.userKey $tls.enabled) -}}
{{- fail (printf "redis.external has settings, but redis.mode is %s: set it to external" $r.mode) -}}
{{- end -}}
{{- end -}}

{{/* The major version in the tag of an image of PostgreSQL, or nothing: (dict "image" "postgres:17-trixie") */}}
{{- define "faststock.postgresMajor" -}}
{{- regexFind "^[0-9]+" (regexReplaceAll "^[^:]*:?" (regexFind "[^/]*$" (regexReplaceAll "@.*$" .image "")) "") -}}
{{- end -}}

{{/* Another major version of PostgreSQL cannot read the data of the volume that an installed release has. */}}
{{- define "faststock.checkDataVersion" -}}
{{- $name := printf "%s-postgres" (include "faststock.fullname" .) -}}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace $name -}}
{{- if and (eq .Values.postgres.mode "bundled") $installed -}}
{{- if ($installed.spec).volumeClaimTemplates -}}
{{- $has := include "faststock.postgresMajor" (dict "image" (first $installed.spec.template.spec.containers).image) -}}
{{- $wants := include "faststock.postgresMajor" (dict "image" .Values.images.postgres) -}}
{{- if and $has $wants (ne $has $wants) -}}
{{- fail (printf (join "" (list
  "\n\nThe release runs PostgreSQL %s, and images.postgres is %s, which cannot read its data. Nothing was changed.\n"
  "To upgrade and keep PostgreSQL %s: --set images.postgres=postgres:%s\n"
  "To move to PostgreSQL %s: \"Another version of PostgreSQL\" in the chart's README, a dump and a restore\n"
  )) $has .Values.images.postgres $has $has $wants) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkScaling" -}}
{{- range $key := list "readSvc" "writeSvc" -}}
{{- $a := (get $.Values $key).autoscaling -}}
{{- if ne $a.mode "none" -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}{{- fail (printf "%s.autoscaling: minReplicas %d is above maxReplicas %d" $key (int $a.minReplicas) (int $a.maxReplicas)) -}}{{- end -}}
{{- if and (eq $a.mode "hpa") (not (int $a.targetCPUUtilization)) (not $a.metrics) -}}{{- fail (printf "%s.autoscaling: without targetCPUUtilization it needs metrics" $key) -}}{{- end -}}
{{- if and (eq $a.mode "keda") (not (int $a.targetCPUUtilization)) (not $a.triggers) -}}{{- fail (printf "%s.autoscaling: without targetCPUUtilization it needs triggers" $key) -}}{{- end -}}
{{- if and (int $a.targetCPUUtilization) (not (((get $.Values $key).resources | default dict).requests | default dict).cpu) -}}{{- fail (printf "%s.autoscaling.targetCPUUtilization is a share of the CPU request: set %s.resources.requests.cpu" $key $key) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "faststock.checkRouting" -}}
{{- $r := .Values.routing -}}
{{- if and (eq $r.mode "f5") (not $r.host) -}}{{- fail "routing.mode f5 uses mergeable Ingress objects, which belong to one host: set routing.host" -}}{{- end -}}
{{- if and (eq $r.mode "gateway") $r.rateLimit.enabled -}}{{- fail "routing.rateLimit: the Gateway API has no limit by client address; set it at the gateway and turn routing.rateLimit.enabled off" -}}{{- end -}}
{{- if and (eq $r.mode "gateway") $r.tlsSecret -}}{{- fail "routing.tlsSecret: with the Gateway API a certificate belongs to the Gateway's listener; leave it empty" -}}{{- end -}}
{{- end -}}

{{- define "faststock.checks" -}}
{{- include "faststock.checkNames" . -}}
{{- include "faststock.checkSettings" . -}}
{{- include "faststock.checkStores" . -}}
{{- include "faststock.checkRedis" . -}}
{{- include "faststock.checkDataVersion" . -}}
{{- include "faststock.checkScaling" . -}}
{{- include "faststock.checkRollout" . -}}
{{- include "faststock.checkRouting" . -}}
{{- include "faststock.checkConnections" . -}}
{{- include "faststock.checkThreads" . -}}
{{- end -}}
