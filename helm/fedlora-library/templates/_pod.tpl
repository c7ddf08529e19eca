{{/* What a pod may: nothing of the API, no root. Everything is owned by one user and one group. */}}
{{- define "fedlora.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.user.id }}
  runAsGroup: {{ .Values.user.group }}
  fsGroup: {{ .Values.user.group }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- range $key := list "nodeSelector" "affinity" "tolerations" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" }}
{{- with get $.Values $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The annotations of a pod: what is given, and checksums that roll it. Takes (list . CHECKSUMS). */}}
{{- define "fedlora.podAnnotations" -}}
{{- $ := first . -}}
{{- toYaml (merge (dict) (last .) (default dict $.Values.podAnnotations) (default dict $.Values.commonAnnotations)) -}}
{{- end -}}

{{/* The labels of a pod. Takes (list . COMPONENT). */}}
{{- define "fedlora.podLabels" -}}
{{- $ := first . -}}
{{ include "fedlora.labels" . }}
{{- with $.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The SHA-256 of a Secret as the cluster has it, so that another content rolls the pods; outside of one, of nothing.
Takes (list . NAME). */}}
{{- define "fedlora.secretChecksum" -}}
{{- (lookup "v1" "Secret" (first .).Release.Namespace (last .)).data | default dict | toJson | sha256sum -}}
{{- end -}}

{{/* What all containers have in common. Takes (list . ROLE [END-OF-TAG]). */}}
{{- define "fedlora.container" -}}
{{- $ := first . -}}
image: {{ include "fedlora.image" . }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
workingDir: /tmp
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* The variables of a container of the kit. Takes (list . VARIABLES). */}}
{{- define "fedlora.environment" -}}
{{- $ := first . -}}
{{- $all := merge (dict) (last .) (dict "FEDLORA_RENDERED" (default $.Chart.AppVersion $.Values.rendered)) -}}
env:
  {{- range $name, $value := $all }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- with $.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The variables of Flower's programs. Takes the folder that they may write. */}}
{{- define "fedlora.flower" -}}
FLWR_HOME: {{ . }}
FLWR_TELEMETRY_ENABLED: "0"
FLWR_DISABLE_UPDATE_CHECK: "1"
FLWR_SUPEREXEC_TASK_POLL_INTERVAL: "0.5"
{{- end -}}

{{/* Three probes. Takes (dict "start" SECONDS "every" SECONDS "ready" HANDLER "alive" HANDLER). What restarts a container
is `alive` alone: not once within `start`, or later not for five minutes. `ready` says whether it can do what it is there
for, which may rest on others: one that fails takes the pod out of its services and restarts nothing. */}}
{{- define "fedlora.probes" -}}
readinessProbe:
  {{- toYaml .ready | nindent 2 }}
  periodSeconds: {{ .every }}
  timeoutSeconds: 10
  failureThreshold: 3
{{- if .alive }}
startupProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: {{ div .start 5 }}
livenessProbe:
  {{- toYaml .alive | nindent 2 }}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 10
{{- end }}
{{- end -}}

{{/* The same, of an address that answers by HTTP. Takes (dict "start" SECONDS "port" PORT "path" PATH). */}}
{{- define "fedlora.httpProbes" -}}
{{- $ask := dict "httpGet" (dict "path" .path "port" .port) -}}
{{- include "fedlora.probes" (dict "start" .start "every" 10 "ready" $ask "alive" $ask) -}}
{{- end -}}

{{/* A temporary folder, in memory, as large as that of the compose file. */}}
{{- define "fedlora.scratch" -}}
- name: scratch
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
{{- end -}}
