{{/* Which ports of the pods there are: the fleet's, the admins' and the ServerApps' lead through the gateway. */}}
{{- define "superlink.secretName" -}}
{{- $ := first . -}}
{{- if and $.Values.certManager.enabled (has (last .) (list "ca.crt" "server.crt" "server.key")) -}}
{{ include "fedlora.fullname" $ }}-server
{{- else if and $.Values.certManager.enabled (hasPrefix "admin." (last .)) -}}
{{ include "fedlora.fullname" $ }}-admin
{{- else -}}
{{ $.Values.secrets.existingSecret }}
{{- end -}}
{{- end -}}

{{/* The key of a file in its Secret. Takes (list . FILE). */}}
{{- define "superlink.secretKey" -}}
{{- $ := first . -}}
{{- $issued := dict "ca.crt" "ca.crt" "server.crt" "tls.crt" "server.key" "tls.key" "admin.crt" "tls.crt" "admin.key" "tls.key" -}}
{{- if and $.Values.certManager.enabled (hasKey $issued (last .)) -}}
{{ get $issued (last .) }}
{{- else -}}
{{ get $.Values.secrets.keys (last .) }}
{{- end -}}
{{- end -}}

{{/* A volume with some of the coordinator's secrets and no others. Takes (list . VOLUME FILES). */}}
{{- define "superlink.secrets" -}}
{{- $ := first . -}}
- name: {{ index . 1 }}
  projected:
    defaultMode: 0400
    sources:
      {{- range $file := last . }}
      - secret:
          name: {{ include "superlink.secretName" (list $ $file) }}
          items:
            - {key: {{ include "superlink.secretKey" (list $ $file) }}, path: {{ $file }}}
      {{- end }}
{{- end -}}

{{/* What rolls the pods when it changes: the configuration, and the Secrets as the cluster has them. */}}
{{- define "superlink.checksums" -}}
checksum/configuration: {{ include (print .Template.BasePath "/configuration.yaml") . | sha256sum }}
checksum/secrets: {{ include "fedlora.secretChecksum" (list . .Values.secrets.existingSecret) }}
{{- if .Values.certManager.enabled }}
checksum/server: {{ include "fedlora.secretChecksum" (list . (printf "%s-server" (include "fedlora.fullname" .))) }}
{{- end }}
{{- end -}}
