{{/* What the schema cannot say: values that do not go together. Each message says what to do. */}}

{{- define "askd.checks" -}}
{{- $values := .Values -}}
{{- $several := include "askd.several" . -}}
{{- $hasPostgres := not (empty $values.secrets.databaseUrl.existingSecret) -}}

{{- if not (or $values.secrets.apiKey.existingSecret $values.secrets.apiKey.value) -}}
{{- fail "secrets.apiKey.existingSecret is empty: there is no default key; make one with: kubectl create secret generic askd-api-key --from-literal=api-key=$(openssl rand -hex 32), then --set secrets.apiKey.existingSecret=askd-api-key" -}}
{{- end -}}
{{- if and $values.secrets.apiKey.existingSecret $values.secrets.apiKey.value -}}
{{- fail "secrets.apiKey: existingSecret and value are both given; give one" -}}
{{- end -}}

{{- if and $several (not $hasPostgres) -}}
{{- fail "more than one server (replicas, autoscaling, keda) needs PostgreSQL: without it each has runs, keys and budgets of its own; set secrets.databaseUrl.existingSecret, or replicas to 1" -}}
{{- end -}}
{{- if and $several $values.persistence.config.enabled (not $values.persistence.config.existingClaim) (not (has "ReadWriteMany" $values.persistence.config.accessModes)) -}}
{{- fail "persistence.config.accessModes: several servers share the configuration, so the claim must be ReadWriteMany; or give persistence.config.existingClaim, or mount a configuration by extraVolumes and set persistence.config.enabled to false" -}}
{{- end -}}
{{- if and $several $values.persistence.data.existingClaim -}}
{{- fail "persistence.data.existingClaim: two servers cannot share a data folder; leave it empty, so that each gets a claim of its own" -}}
{{- end -}}
{{- if and $several $values.repositories $values.persistence.workspaces.existingClaim -}}
{{- fail "repositories: several servers would clone into persistence.workspaces.existingClaim at the same time, and replace what another works in; leave existingClaim empty and set persistence.workspaces.enabled, so that each gets a claim of its own, or put the repositories on the claim yourself" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled $values.keda.enabled -}}
{{- fail "autoscaling and keda are both enabled: KEDA makes its own HorizontalPodAutoscaler; enable one" -}}
{{- end -}}
{{- range $name := list "autoscaling" "keda" -}}
{{- $scaler := get $values $name -}}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- fail (printf "%s.minReplicas is more than %s.maxReplicas" $name $name) -}}
{{- end -}}
{{- if and $scaler.enabled (not $values.metrics.enabled) -}}
{{- fail (printf "%s needs metrics.enabled: it scales on askd_queue_waiting" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $values.keda.enabled (not $values.keda.serverAddress) -}}
{{- fail "keda.serverAddress is empty: give the address of Prometheus, such as http://prometheus.monitoring:9090" -}}
{{- end -}}

{{- if and $values.ingress.enabled (empty $values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty: name the host under which askd is called" -}}
{{- end -}}
{{- if and $values.ingress.enabled (empty $values.ingress.tls) (not $values.ingress.allowPlainHttp) -}}
{{- fail "ingress.tls is empty: keys, prompts and answers would travel in the clear; give it, or set ingress.allowPlainHttp if something in front encrypts" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.allowPlainHttp) -}}
{{- $encrypted := list -}}
{{- range $values.ingress.tls -}}{{- $encrypted = concat $encrypted .hosts -}}{{- end -}}
{{- range $host := $values.ingress.hosts -}}
{{- if not (has $host $encrypted) -}}
{{- fail (printf "ingress.tls: its hosts do not have %s, so keys, prompts and answers would travel in the clear; add it, or set ingress.allowPlainHttp if something in front encrypts" $host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (ne $values.service.type "ClusterIP") (not $values.tls.existingSecret) (not $values.service.allowPlainHttp) -}}
{{- fail (printf "service.type %s without tls.existingSecret: keys, prompts and answers would travel in the clear; give it, or set service.allowPlainHttp if something in front encrypts" $values.service.type) -}}
{{- end -}}
{{- if and $values.ingress.basicAuth.existingSecret (eq $values.ingress.controller "none") -}}
{{- fail "ingress.basicAuth needs ingress.controller (nginx or traefik): an Ingress itself knows no basic auth" -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (or (empty $values.httpRoute.parentRefs) (empty $values.httpRoute.hostnames)) -}}
{{- fail "httpRoute needs parentRefs and hostnames" -}}
{{- end -}}

{{- if and $values.tls.clientCaSecret (not $values.tls.existingSecret) -}}
{{- fail "tls.clientCaSecret needs tls.existingSecret: without TLS there are no certificates of clients" -}}
{{- end -}}
{{- if and $values.tls.clientCaSecret (not $values.metrics.enabled) -}}
{{- fail "tls.clientCaSecret needs metrics.enabled: probes have no certificate, and ask at the port of the metrics" -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "prometheusRule" -}}
{{- if and (get $values.metrics $name).enabled (not $values.metrics.enabled) -}}
{{- fail (printf "metrics.%s needs metrics.enabled" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "prometheusRule" "dashboard" -}}
{{- range $label, $_ := (get $values.metrics $name).labels -}}
{{- if hasKey $values.commonLabels $label -}}
{{- fail (printf "metrics.%s.labels: %s is in commonLabels, too; give it in one place" $name $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (int $values.metrics.port) 3000 -}}
{{- fail "metrics.port: 3000 is the port of the API; choose another" -}}
{{- end -}}

{{- if $values.networkPolicy.enabled -}}
{{- if and $values.networkPolicy.egress.enabled $hasPostgres (empty $values.networkPolicy.egress.postgresql) -}}
{{- fail "networkPolicy.egress.postgresql is empty: the servers could not reach their database; say where it is" -}}
{{- end -}}
{{- if and $values.metrics.serviceMonitor.enabled (empty $values.networkPolicy.ingress.metricsFrom) -}}
{{- fail "networkPolicy.ingress.metricsFrom is empty: Prometheus could not read the metrics; say where it is" -}}
{{- end -}}
{{- end -}}

{{- if and (eq $values.isolation.layer "bubblewrap") (eq $values.isolation.policy "off") -}}
{{- fail "isolation.layer bubblewrap gives the pod what bubblewrap needs, and isolation.policy off does not use it; choose one" -}}
{{- end -}}

{{- $own := include "askd.variables" . | fromJson -}}
{{- $settings := .Files.Get "files/variables.json" | fromJson -}}
{{- $file := dict -}}
{{- range $variable := $values.extraEnv -}}
{{- if or (hasKey $own $variable.name) (hasKey $own (printf "%s_FILE" $variable.name)) (has $variable.name (list "POD_IP" "POD_NAME")) -}}
{{- fail (printf "extraEnv: %s is set by the chart from other values; use those" $variable.name) -}}
{{- end -}}
{{- with get $settings $variable.name -}}
{{- /* A variable would win over the file, and what the chart computes from settings would be wrong. */ -}}
{{- fail (printf "extraEnv: %s is a setting of askd; use %s" $variable.name .) -}}
{{- end -}}
{{- if hasKey $file $variable.name -}}{{- fail (printf "extraEnv: %s is there twice" $variable.name) -}}{{- end -}}
{{- $_ := set $file $variable.name true -}}
{{- end -}}

{{- $seen := dict -}}
{{- range $values.repositories -}}
{{- if hasKey $seen .name -}}{{- fail (printf "repositories: two of them are called %s" .name) -}}{{- end -}}
{{- $_ := set $seen .name true -}}
{{- if and (hasPrefix "ssh://" .url) (not .existingSecret) -}}
{{- fail (printf "repositories: %s is reached by ssh and has no existingSecret with ssh-privatekey and known_hosts" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
