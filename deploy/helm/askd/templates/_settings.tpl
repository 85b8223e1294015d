{{/* The settings: as TOML, as variables, and what follows from them. */}}

{{/* A duration of askd (`500ms`, `30s`, `15m`, `24h`, or a number of milliseconds) in milliseconds.
     Arguments: key, value. */}}
{{- define "askd.millis" -}}
{{- $text := toString .value -}}
{{- if or (kindIs "float64" .value) (kindIs "int64" .value) (kindIs "int" .value) -}}
{{- $text = toString (int64 .value) -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]{1,12}(ms|s|m|h)?$" $text) -}}
{{- fail (printf "settings.%s: %q is no duration; write 500ms, 30s, 15m or 24h" .key $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- mul $number (get (dict "" 1 "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) -}}
{{- end -}}

{{/* Seconds from SIGTERM to the end at the latest: still taking work, runs that go on, the ladder by which they are ended, and
     15 seconds for the last commits. */}}
{{- define "askd.stopSeconds" -}}
{{- $settings := .Values.settings -}}
{{- $sum := 0 -}}
{{- $defaults := dict "drain_delay" "0" "shutdown_grace" "30s" "stop_soft" "5s" "stop_eof" "5s" "stop_term" "5s" "stop_kill" "10s" -}}
{{- range $key, $default := $defaults -}}
{{- $value := $default -}}
{{- if hasKey $settings $key -}}{{- $value = get $settings $key -}}{{- end -}}
{{- $sum = add $sum (include "askd.millis" (dict "key" $key "value" $value) | int64) -}}
{{- end -}}
{{- add 15 (div (add $sum 999) 1000) -}}
{{- end -}}

{{- define "askd.terminationGracePeriodSeconds" -}}
{{- $needed := include "askd.stopSeconds" . | int64 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if eq (toString $given) "" -}}
{{- $needed -}}
{{- else if lt (int64 $given) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short: with these settings a server takes up to %d s to stop (drain_delay, shutdown_grace, stop_soft, stop_eof, stop_term, stop_kill and 15 s), and would be killed with its runs; leave it empty, or lower settings.shutdown_grace" (int64 $given) $needed) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end -}}

{{/* A size of askd or of Kubernetes in bytes; what is written otherwise is 0. */}}
{{- define "askd.bytes" -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . -}}{{- $text = toString (int64 .) -}}{{- end -}}
{{- $factors := dict "" 1 "B" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text | trimSuffix "B" -}}
{{- if and (regexMatch "^[0-9]+[A-Za-z]*$" $text) (hasKey $factors $unit) -}}
{{- mul (regexFind "^[0-9]+" $text | int64) (get $factors $unit | int64) -}}
{{- else -}}0{{- end -}}
{{- end -}}

{{/* MiB that all runs and the server may take together, by the settings. */}}
{{- define "askd.memoryMiB" -}}
{{- $settings := .Values.settings -}}
{{- $runs := hasKey $settings "max_concurrent" | ternary (get $settings "max_concurrent") 3 | int64 -}}
{{- $each := include "askd.bytes" (hasKey $settings "max_memory" | ternary (get $settings "max_memory") "4GiB") | int64 -}}
{{- add 512 (div (mul $runs $each) 1048576) -}}
{{- end -}}

{{/* One value. JSON's strings are TOML's too. Numbers of values are floats to Helm. */}}
{{- define "askd.toml" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{- define "askd.settingsFile" -}}
# Made by Helm from `settings`.
{{- range $key, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "askd.toml" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Secrets that become files: a list of `{secret, key, file, variable}` as JSON. */}}
{{- define "askd.secretFiles" -}}
{{- $files := list -}}
{{- $variables := dict "apiKey" "API_KEY" "anthropicApiKey" "ANTHROPIC_API_KEY" "anthropicAuthToken" "ANTHROPIC_AUTH_TOKEN" "secretKey" "ASKD_SECRET_KEY" "databaseUrl" "ASKD_DATABASE_URL" "otlpHeaders" "ASKD_OTLP_HEADERS" -}}
{{- range $name, $variable := $variables -}}
{{- $given := get $.Values.secrets $name -}}
{{- $secret := $given.existingSecret -}}
{{- if and (eq $name "apiKey") $given.value -}}{{- $secret = printf "%s-api-key" (include "askd.fullname" $) -}}{{- end -}}
{{- if $secret -}}
{{- $files = append $files (dict "secret" $secret "key" $given.key "file" (kebabcase $name) "variable" $variable) -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* Names under which the server may be called: its Services, Ingress and HTTPRoute, what was given, and the pod's address, by
     which monitoring calls it. */}}
{{- define "askd.allowedHosts" -}}
{{- $name := include "askd.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list -}}
{{- range $service := list $name (printf "%s-metrics" $name) (printf "$(POD_NAME).%s-pods" $name) -}}
{{- $hosts = concat $hosts (list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace)) -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}{{- $hosts = concat $hosts .Values.ingress.hosts -}}{{- end -}}
{{- if .Values.httpRoute.enabled -}}{{- $hosts = concat $hosts .Values.httpRoute.hostnames -}}{{- end -}}
{{- $hosts = concat $hosts .Values.allowedHosts -}}
{{- $address := ternary "[$(POD_IP)]" "$(POD_IP)" (eq .Values.ipFamily "IPv6") -}}
{{- join "," (uniq (append $hosts $address)) -}}
{{- end -}}

{{/* The variables that the chart sets. Those with a value only. */}}
{{- define "askd.variables" -}}
{{- $any := ternary "[::]" "0.0.0.0" (eq .Values.ipFamily "IPv6") -}}
{{- $variables := dict "ASKD_CONFIG" "/etc/askd/settings/askd.toml" "ASKD_LISTEN" (printf "%s:3000" $any) "CONFIG_DIR" "/home/node/.claude" "WORKSPACE_DIR" "/workspace" "ASKD_DATA_DIR" "/var/lib/askd/data" "ASKD_ISOLATION" .Values.isolation.policy -}}
{{- if .Values.metrics.enabled -}}{{- $_ := set $variables "ASKD_METRICS_LISTEN" (printf "%s:%d" $any (int .Values.metrics.port)) -}}{{- end -}}
{{- if not .Values.allowAnyHost -}}{{- $_ := set $variables "ASKD_ALLOWED_HOSTS" (include "askd.allowedHosts" .) -}}{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $variables "ASKD_TLS_CERT" "/etc/askd/tls/tls.crt" -}}
{{- $_ := set $variables "ASKD_TLS_KEY" "/etc/askd/tls/tls.key" -}}
{{- end -}}
{{- if .Values.tls.clientCaSecret -}}{{- $_ := set $variables "ASKD_TLS_CLIENT_CA" "/etc/askd/client-ca/ca.crt" -}}{{- end -}}
{{- range include "askd.secretFiles" . | fromJsonArray -}}
{{- $_ := set $variables (printf "%s_FILE" .variable) (printf "/etc/askd/secrets/%s" .file) -}}
{{- end -}}
{{- toJson $variables -}}
{{- end -}}
