{{/* An init container that brings the base model into its claim; what stands there is held to its hash and stays.
Takes (list . END-OF-TAG). */}}
{{- define "fedlora.modelContainer" -}}
{{- $ := first . -}}
{{- $fetch := $.Values.baseModel.fetch -}}
{{- if $fetch.enabled }}
- name: model
  {{- include "fedlora.container" (list $ $fetch.image (ternary "" (last .) (eq $fetch.image "model"))) | nindent 2 }}
  command: [tini, --]
  args:
    - fedlora
    - model
    - fetch
    - {{ $fetch.model }}
    - --into
    - /model/base
    {{- range $option := list "sha256" "mirror" "revision" }}
    {{- with get $fetch $option }}
    - --{{ $option }}
    - {{ . | quote }}
    {{- end }}
    {{- end }}
  {{- $variables := dict "HF_HUB_DISABLE_XET" "1" }}
  {{- if $fetch.existingSecret }}
  {{- $_ := set $variables "HF_TOKEN_PATH" "/run/hub/token" }}
  {{- end }}
  {{- include "fedlora.environment" (list $ $variables) | nindent 2 }}
  resources: {{ toYaml $.Values.resources.model | nindent 4 }}
  volumeMounts:
    - {name: model, mountPath: /model}
    - {name: scratch, mountPath: /tmp, subPath: model}
    {{- if $fetch.existingSecret }}
    - {name: hub, mountPath: /run/hub, readOnly: true}
    {{- end }}
{{- end }}
{{- end -}}

{{/* The volume with the token for a hub, if there is one. */}}
{{- define "fedlora.modelVolume" -}}
{{- with .Values.baseModel.fetch }}
{{- if and .enabled .existingSecret }}
- name: hub
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0400
    items:
      - {key: {{ .secretKey }}, path: token}
{{- end }}
{{- end }}
{{- end -}}

{{/* The rule of a network policy that lets a pod out to the hub or its mirror. */}}
{{- define "fedlora.modelEgress" -}}
{{- with .Values.baseModel.fetch }}
{{- if and .enabled .addressBlocks }}
- to:
    {{- range .addressBlocks }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end -}}

{{/* What contradicts itself in the way that the base model comes. */}}
{{- define "fedlora.modelChecks" -}}
{{- $fetch := .Values.baseModel.fetch }}
{{- if and $fetch.enabled (not $fetch.model) }}
{{- fail "baseModel.fetch.model is empty: name what is to be fetched, or set baseModel.fetch.enabled to false and bring the model into the claim" }}
{{- end }}
{{- if and $fetch.enabled .Values.networkPolicy.enabled (ne $fetch.image "model") (not $fetch.addressBlocks) }}
{{- fail (printf "baseModel.fetch is to get %s from a hub, and the network policy lets the pod out to the SuperLink alone: name the address blocks of the hub or of your mirror as baseModel.fetch.addressBlocks, or set baseModel.fetch.enabled to false and bring the model into the claim beforehand" $fetch.model) }}
{{- end }}
{{- end -}}
