{{/* What both jobs begin with: the evaluator's key where nobody else can read it, the base model, and the checkpoints.
Takes (list . FOLLOW): whether the mirror is one look, or waits until the run has ended. */}}
{{- define "evaluator.begin" -}}
{{- $ := first . -}}
- name: credentials
  {{- include "fedlora.container" (list $ "evaluator") | nindent 2 }}
  command: [tini, --]
  args: [sh, -ec, "mkdir -p -m 0700 /run/private/own; install -m 0400 /run/secrets/* /run/private/own/"]
  resources: {{ toYaml $.Values.resources.init | nindent 4 }}
  volumeMounts:
    - {name: secrets, mountPath: /run/secrets, readOnly: true}
    - {name: private, mountPath: /run/private}
    - {name: scratch, mountPath: /tmp, subPath: credentials}
{{ include "fedlora.modelContainer" (list $ "") }}
{{- end -}}

{{/* The mirror of the run's checkpoints. Takes (list . KEEP EVERY). */}}
{{- define "evaluator.mirror" -}}
{{- $ := first . -}}
- name: mirror
  {{- include "fedlora.container" (list $ "evaluator") | nindent 2 }}
  command: [tini, --]
  args:
    - fedlora
    - checkpoint
    - fetch
    - {{ $.Values.run }}
    - --source
    - {{ $.Values.superlink.host }}:{{ $.Values.superlink.checkpointPort }}
    - --ca-certificate
    - /etc/fedlora/ca.crt
    - --evaluator
    - /run/private/own
    - --every
    - {{ last . | quote }}
    - --keep
    - {{ index . 1 | quote }}
    - --follow
  {{- include "fedlora.environment" (list $ (dict "FEDLORA_RUNS" "/evaluator/runs")) | nindent 2 }}
  resources: {{ toYaml $.Values.resources.mirror | nindent 4 }}
  volumeMounts:
    - {name: configuration, mountPath: /etc/fedlora/ca.crt, subPath: ca.crt, readOnly: true}
    - {name: private, mountPath: /run/private, readOnly: true}
    - {name: results, mountPath: /evaluator}
    - {name: scratch, mountPath: /tmp, subPath: mirror}
{{- end -}}

{{/* The volumes of both. */}}
{{- define "evaluator.volumes" -}}
{{ include "fedlora.claimVolume" (list . "model") }}
{{ include "fedlora.claimVolume" (list . "results") }}
{{ include "fedlora.modelVolume" . }}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.existingSecret }}
    defaultMode: 0400
    items:
      {{- range $file, $key := .Values.secrets.keys }}
      - {key: {{ $key }}, path: {{ $file }}}
      {{- end }}
- name: private
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: configuration
  configMap:
    name: {{ include "fedlora.fullname" . }}
{{ include "fedlora.scratch" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A job of this pod. It cannot be changed once it is made, so another pod is another job, by the hash in its name.
Takes (list . NAME POD). */}}
{{- define "evaluator.job" -}}
{{- $ := first . -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "fedlora.metadata" (list $ "evaluator" (printf "-%s-%s" (index . 1) (last . | sha256sum | trunc 8))) | nindent 2 }}
spec:
  backoffLimit: 6
  template:
    metadata:
      labels:
        {{- include "fedlora.podLabels" (list $ "evaluator") | nindent 8 }}
      annotations:
        {{- include "fedlora.podAnnotations" (list $ (dict "fedlora.org/run" $.Values.run)) | nindent 8 }}
    spec:
      restartPolicy: OnFailure
      {{- include "fedlora.pod" $ | nindent 6 }}
      {{- with $.Values.superlink.hostAliases }}
      hostAliases: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- last . | nindent 6 }}
{{- end -}}
