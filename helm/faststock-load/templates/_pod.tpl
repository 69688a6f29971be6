{{- define "load.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: faststock
{{- end -}}

{{/*
The pod of both kinds. A Job's pod runs k6 once and hands the files of the run on through its log,
so that they can be had after it has ended. It stays a little longer than what it prints, because
containerd was seen to lose the last 16 KiB of a container that prints and exits at once. With
several pods each makes its segment of the load. The pod of a Deployment begins again when a run
has ended, whatever its result.
*/}}
{{- define "load.pod" -}}
restartPolicy: {{ ternary "Always" "Never" .Values.continuous }}
automountServiceAccountToken: false
enableServiceLinks: false
# of a Deployment: k6 deletes the products that it made
terminationGracePeriodSeconds: {{ ternary 60 10 .Values.continuous }}
securityContext:
  runAsNonRoot: true
  runAsUser: 12345
  runAsGroup: 12345
  fsGroup: 12345
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: k6
    image: {{ .Values.image }}
    imagePullPolicy: {{ .Values.imagePullPolicy }}
    command:
      - sh
      - -c
      - |
        export WRITE_TOKEN="$(printf '%s\n' "$WRITE_TOKENS" | head -n 1)"
        {{- if .Values.continuous }}
        trap 'kill -TERM $run; wait $run; exit 0' TERM
        while true; do
          k6 run --quiet "/scripts/$SCRIPT" & run=$!
          wait $run
          sleep 5 & run=$!
          wait $run
        done
        {{- else }}
        {{- if gt (int .Values.parallelism) 1 }}
        index=$JOB_COMPLETION_INDEX sequence=0 i=1
        while [ $i -lt $PODS ]; do
          sequence=$sequence,$i/$PODS
          i=$((i + 1))
        done
        set -- --execution-segment "$index/$PODS:$((index + 1))/$PODS" \
          --execution-segment-sequence "$sequence,1"
        {{- end }}
        k6 run "$@" "/scripts/$SCRIPT"
        status=$?
        echo "--- results: tar.gz as base64"
        tar -cz -C "$OUT_DIR" . | base64
        echo "--- end of results"
        sleep 3
        exit $status
        {{- end }}
    env:
      - {name: SCRIPT, value: {{ .Values.scenario }}.js}
      - {name: HOME, value: /tmp}
      - {name: K6_NO_USAGE_REPORT, value: "true"}
      - {name: K6_AUTO_EXTENSION_RESOLUTION, value: "false"}
      {{- if not .Values.continuous }}
      - {name: OUT_DIR, value: /out}
      - {name: K6_WEB_DASHBOARD, value: "true"}
      - {name: K6_WEB_DASHBOARD_PORT, value: "-1"}
      - {name: K6_WEB_DASHBOARD_PERIOD, value: 1s}
      - {name: K6_WEB_DASHBOARD_EXPORT, value: /out/k6.html}
      - {name: K6_WEB_DASHBOARD_RECORD, value: /out/record.ndjson}
      - {name: K6_WEB_DASHBOARD_TAGS, value: "name,error_code"}
      {{- end }}
      {{- if gt (int .Values.parallelism) 1 }}
      - {name: PODS, value: {{ int .Values.parallelism | quote }}}
      - {name: PERCENTILES, value: "true"}
      {{- end }}
      {{- if .Values.paused }}
      - {name: K6_PAUSED, value: "true"}
      {{- end }}
      {{- range $name, $value := .Values.env }}
      {{- $text := ternary (toJson $value) (toString $value) (kindIs "float64" $value) }}
      - {name: {{ $name }}, value: {{ $text | quote }}}
      {{- end }}
      {{- with .Values.tokensSecret }}
      - name: WRITE_TOKENS
        valueFrom:
          secretKeyRef: {name: {{ . }}, key: tokens}
      {{- end }}
    resources: {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: scripts, mountPath: /scripts, readOnly: true}
      - {name: out, mountPath: /out}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: scripts
    configMap: {name: {{ .Release.Name | quote }}}
  - name: out
    emptyDir: {}
  - name: tmp
    emptyDir: {}
{{- end -}}
