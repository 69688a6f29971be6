{{/*
A number of replicas that somebody else set (`kubectl scale`, an autoscaler that was) belongs to
them: a server-side apply of another number is a conflict, and the upgrade fails. So that number
stays until the number in the values changes. The number in the values is kept in an annotation of
the Deployment, because the next revision cannot know it otherwise.
*/}}
{{- define "faststock.replicasAnnotation" -}}
faststock/replicas
{{- end -}}

{{/* (dict "root" . "component" "read-svc"): the replicas of a service without an autoscaler */}}
{{- define "faststock.replicas" -}}
{{- $wanted := int (get .root.Values (include "faststock.valuesKey" .component)).replicas -}}
{{- $name := printf "%s-%s" (include "faststock.fullname" .root) .component -}}
{{- $installed := lookup "apps/v1" "Deployment" (include "faststock.namespace" .root) $name | default dict -}}
{{- $known := get (($installed.metadata).annotations | default dict)
  (include "faststock.replicasAnnotation" .) -}}
{{- $scaled := false -}}
{{- range ($installed.metadata).managedFields -}}
{{- $owned := get (.fieldsV1 | default dict) "f:spec" | default dict -}}
{{- if and (ne .manager "helm") (hasKey $owned "f:replicas") -}}
{{- $scaled = true -}}
{{- end -}}
{{- end -}}
{{- if and $scaled (has $known (list "" (toString $wanted))) -}}
{{- int $installed.spec.replicas -}}
{{- else -}}
{{- $wanted -}}
{{- end -}}
{{- end -}}
